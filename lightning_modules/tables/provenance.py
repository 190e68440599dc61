"""Find runs that were made with other code, protocol, data or settings than the rest."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lightning_modules.runs.settings import flatten, settings_with_effect
from lightning_modules.tables.planned_rows import SEED, label_of
from lightning_modules.tables.runs import Run

# So many of the settings that differ are named.
_MOST_SETTINGS = 4


def find_deviations(
    runs: Sequence[Run], datasets: Collection[str], *, settings_per_row: bool
) -> list[list[str]]:
    """Say of each run what sets it apart from most of the others.

    Compared are commit and state of the working tree, protocol, number and digest of the test
    images, and the settings that can change a result, but for the seed and what the sweep varies.
    What a run's files do not say is not compared. Of equally frequent values, that of the first run
    counts as the usual one.

    Args:
        runs: those of one table; first the ones to go by.
        datasets: whose images are compared.
        settings_per_row: configurations need only agree within a row, not between rows.

    Returns:
        For each run its deviations; an empty list if there are none.
    """
    facts = [_facts(run, datasets) for run in runs]
    usual_facts = usual_values(facts)
    all_uncommitted = all(map(has_uncommitted_changes, runs))
    groups = [run.row if settings_per_row else 0 for run in runs]
    settings = [_settings(run) for run in runs]
    optional = _options_of_classes(runs, settings)
    settings = [{name: x for name, x in own.items() if name not in optional} for own in settings]
    # Files of earlier versions hold no configuration.
    known = [(group, own) for group, own in zip(groups, settings, strict=True) if own]
    usual_settings = {
        group: usual_values([own for other, own in known if other == group], absent="unset")
        for group in set(groups)
    }
    deviations = []
    for run, group, facts_of_run, settings_of_run in zip(
        runs, groups, facts, settings, strict=True
    ):
        found = differing_values(facts_of_run, usual_facts)
        if has_uncommitted_changes(run) and not all_uncommitted:
            found.append("the code had uncommitted changes")
        different = differing_values(settings_of_run, usual_settings[group], absent="unset")
        if len(different) > _MOST_SETTINGS:
            rest = len(different) - _MOST_SETTINGS
            different = [*different[:_MOST_SETTINGS], f"{rest} more settings differ"]
        deviations.append(found + _swapped(run) + (different if settings_of_run else []))
    return deviations


def has_uncommitted_changes(run: Run) -> bool:
    """Return whether the code of a run is no commit."""
    return bool(run.results.git and run.results.git.get("dirty"))


def _facts(run: Run, datasets: Collection[str]) -> dict[str, str]:
    results = run.results
    facts = {"the protocol": results.protocol}
    git = results.git
    facts["the commit"] = str(git.get("commit"))[:7] if git else "unknown"
    for dataset in datasets:
        if dataset in results.num_images:
            facts[f"the number of images of {dataset}"] = str(results.num_images[dataset])
        if dataset in results.data_digest:
            facts[f"the digest of {dataset}"] = str(results.data_digest[dataset])[:12]
    return facts


def _settings(run: Run) -> dict[str, str]:
    """Flatten the configuration: dotted name to value, without what may differ."""
    config = run.results.config
    if not config:
        return {}
    varied = (*run.planned.parameters, SEED)
    return {
        name: json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
        for name, value in settings_with_effect(flatten(config)).items()
        if not any(name == free or name.startswith(f"{free}.") for free in varied)
    }


def _options_of_classes(runs: Sequence[Run], settings: Sequence[Mapping[str, str]]) -> set[str]:
    """Find settings that some runs cannot have, because what varies is the class they belong to."""
    varied = {name.rpartition(".") for run in runs for name in run.planned.parameters}
    owners = tuple(f"{owner}." for owner, _, last in varied if last in ("name", "class_path"))
    known = [own.keys() for own in settings if own]
    names = {name for own in known for name in own if name.startswith(owners)}
    return {name for name in names if not all(name in own for own in known)}


def usual_values(of_runs: Sequence[Mapping[str, str]], absent: str | None = None) -> dict[str, str]:
    """Return the most frequent value of each fact; of equally frequent ones the first."""
    usual = {}
    for name in dict.fromkeys(name for facts in of_runs for name in facts):
        values = [facts.get(name, absent) for facts in of_runs]
        known = [value for value in values if value is not None]
        usual[name] = Counter(known).most_common(1)[0][0]
    return usual


def differing_values(
    own: Mapping[str, str], usual: Mapping[str, str], absent: str | None = None
) -> list[str]:
    """Say which values of a run, or a cost, are not the usual ones."""
    found = []
    for name, usual_value in usual.items():
        value = own.get(name, absent)
        if value is not None and value != usual_value:
            found.append(f"{name} is {_short(value)}, elsewhere {_short(usual_value)}")
    return found


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."


def _swapped(run: Run) -> list[str]:
    """Find settings whose value is not the one that the row stands for."""
    found = []
    settings = flatten(run.results.config)
    for name, value in run.planned.parameters.items():
        if name in settings and not _same(settings[name], value):
            found.append(
                f"{name} was {label_of(settings[name])}, although this row is of {label_of(value)}"
            )
    seed, planned = run.results.seed, run.planned.seed
    compared = SEED in settings and SEED in run.planned.parameters
    if not compared and None not in (seed, planned) and seed != planned:
        found.append(f"{SEED} was {seed}, although this run is of {planned}")
    return found


def _same(a: Any, b: Any) -> bool:
    texts = [label_of(value).lower().replace(" ", "").lstrip(".") for value in (a, b)]
    return texts[0] == texts[1]
