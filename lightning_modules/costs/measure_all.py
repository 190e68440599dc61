"""Measure several configurations, each once, and write their costs into the folders of runs."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_modules.cli.configuration_builder import naming
from lightning_modules.cli.configurations import Source, group_seeds, refuse_for_runs
from lightning_modules.cli.output import unwritable_is_a_mistake
from lightning_modules.costs.builder import CostBuilder
from lightning_modules.costs.cost_file import Cost, write_cost
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.yaml_text import read_yaml_mapping

# All that a network and its batches are made of; and how they are computed.
_BUILT_FROM = ("model.", "data.", "trainer.precision", "trainer.accelerator")


@dataclass(frozen=True)
class Measured:
    """A configuration with its cost.

    Attributes:
        label: tells it from the others.
        cost: that was measured.
        runs: of this configuration, with different seeds; none of an experiment.
    """

    label: str
    cost: Cost
    runs: tuple[RunFolder, ...]


def measure_all(sources: Sequence[Source], settings: Sequence[str]) -> list[Measured]:
    """Measure configurations; every `cost.json` is written as soon as it is known.

    Args:
        sources: runs and experiments.
        settings: flags that lie over every configuration.

    Raises:
        UserError: a configuration cannot be read, built or measured, or its `cost.json` not be
            written; names it.
    """
    refuse_for_runs(sources, settings)
    with naming(sources[0]):
        builder = CostBuilder(sources[0], settings)
    resolved = []
    for source in sources:
        with naming(source):
            if source.run is None:
                resolved.append(builder.parse(source))
            else:  # is written resolved, and takes a second less to read than to parse
                resolved.append(read_yaml_mapping(source.path, "settings"))
    costs: list[tuple[Mapping[str, Any], Cost]] = []
    measured = []
    for name, configuration, members in group_seeds(sources, resolved):
        key = settings_of_cost(configuration)
        cost = next((cost for other, cost in costs if other == key), None)
        if cost is None:
            print(f"Measuring {name}", file=sys.stderr, flush=True)
            with naming(members[0]):
                cost = builder.measure(members[0])
            costs.append((key, cost))
        runs = tuple(source.run for source in members if source.run is not None)
        with unwritable_is_a_mistake():
            for run in runs:
                write_cost(run.cost, cost)
        measured.append(Measured(name, cost, runs))
    return measured


def settings_of_cost(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings, by dotted name, that costs depend on."""
    return {name: value for name, value in flat.items() if name.startswith(_BUILT_FROM)}
