"""Measure several configurations, each once, and write their costs into the folders of runs."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lightning_modules.cli.errors import explain
from lightning_modules.cli.output import unwritable_is_a_mistake
from lightning_modules.costs.builder import CostBuilder
from lightning_modules.costs.configurations import (
    Source,
    labels,
    refuse_for_runs,
    settings_of_cost,
    settings_of_result,
)
from lightning_modules.costs.cost_file import Cost, write_cost
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.yaml_text import read_yaml_mapping
from mutualformer.errors import UserError


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
    with _naming(sources[0]):
        builder = CostBuilder(sources[0], settings)
    grouped: list[tuple[dict[str, Any], list[Source]]] = []
    for source in sources:
        with _naming(source):
            if source.run is None:
                resolved = builder.parse(source)
            else:  # is written resolved, and takes a second less to read than to parse
                resolved = read_yaml_mapping(source.path, "settings")
        configuration = settings_of_result(resolved)
        members = next((x for other, x in grouped if other == configuration), None)
        if members is None:
            grouped.append((configuration, [source]))
        else:
            members.append(source)
    configurations = [configuration for configuration, _ in grouped]
    names = labels(configurations) if len(grouped) > 1 else [sources[0].name]
    costs: list[tuple[Mapping[str, Any], Cost]] = []
    measured = []
    for name, (configuration, members) in zip(names, grouped, strict=True):
        key = settings_of_cost(configuration)
        cost = next((cost for other, cost in costs if other == key), None)
        if cost is None:
            print(f"Measuring {name}", file=sys.stderr, flush=True)
            with _naming(members[0]):
                cost = builder.measure(members[0])
            costs.append((key, cost))
        runs = tuple(source.run for source in members if source.run is not None)
        with unwritable_is_a_mistake():
            for run in runs:
                write_cost(run.cost, cost)
        measured.append(Measured(name, cost, runs))
    return measured


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Say of a mistake whose it is."""
    try:
        yield
    except Exception as error:
        explanation = explain(error)
        if explanation is None:
            raise
        raise UserError(f"{source.name}: {explanation.message}") from error
