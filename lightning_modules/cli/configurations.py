"""Which configurations a command line means, and what sets them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_modules.runs.place import folder_of_saved
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import flatten, has_effect, settings_with_effect
from lightning_modules.runs.yaml_text import read_yaml_mapping
from lightning_modules.tables.planned_rows import SEED, label_of
from mutualformer.errors import UserError

_FUSION = "model.network.fusion.name"


@dataclass(frozen=True)
class Source:
    """A configuration.

    Attributes:
        path: of the YAML file.
        run: whose configuration it is; None for that of an experiment.
    """

    path: Path
    run: RunFolder | None

    @property
    def name(self) -> str:
        """What the user knows it by."""
        return str(self.path if self.run is None else self.run.path)


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """Find configurations: experiments, runs by folder or file, and all runs in a folder of them.

    Raises:
        UserError: something is not there, or is none of these.
    """
    sources = [source for path in paths for source in _sources_at(path)]
    return list({source.path.resolve(): source for source in sources}.values())


def _sources_at(path: Path) -> list[Source]:
    if path.is_dir():
        runs = [RunFolder(path), *map(RunFolder, sorted(x for x in path.iterdir() if x.is_dir()))]
        found = [Source(run.config, run) for run in runs if run.config.is_file()]
        if not found:
            raise UserError(
                f"{path} holds no {runs[0].config.name}, nor does a folder in it, expected the "
                "folder of a run, or one with several of them"
            )
        return found[:1] if found[0].path.parent == path else found
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder, expected a run or an experiment")
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path} is no YAML file, expected an experiment, or the folder of a run")
    folder = folder_of_saved(path)
    return [Source(path, None if folder is None else RunFolder(folder))]


def refuse_for_runs(sources: Sequence[Source], settings: Sequence[str]) -> None:
    """Refuse settings typed for a run that would make another one of it.

    Raises:
        UserError: names the setting and the run.
    """
    runs = [source.name for source in sources if source.run is not None]
    for word in settings:
        name = word.partition("=")[0].removeprefix("--")
        if runs and has_effect(name):
            raise UserError(
                f"--{name} would change what {runs[0]} is, which is measured with its own "
                "settings: leave it out"
            )


def settings_of_result(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, by dotted name, that all seeds of a configuration share."""
    flat = settings_with_effect(flatten(resolved))
    flat["trainer.accelerator"] = flatten(resolved).get("trainer.accelerator")
    flat.pop(SEED, None)
    return flat


def group_seeds(
    sources: Sequence[Source], resolved: Sequence[Mapping[str, Any]]
) -> list[tuple[str, dict[str, Any], list[Source]]]:
    """Put together what differs in the seed alone.

    Args:
        sources: the configurations.
        resolved: the settings of each.

    Returns:
        For each group its name, the settings that it shares by dotted name, and its members.
    """
    grouped: list[tuple[dict[str, Any], list[Source]]] = []
    for source, own in zip(sources, resolved, strict=True):
        shared = settings_of_result(own)
        members = next((x for other, x in grouped if other == shared), None)
        if members is None:
            grouped.append((shared, [source]))
        else:
            members.append(source)
    names = labels([shared for shared, _ in grouped]) if len(grouped) > 1 else [sources[0].name]
    return [(name, *group) for name, group in zip(names, grouped, strict=True)]


def names_of_runs(sources: Sequence[Source]) -> list[str]:
    """Name runs by the settings that tell them apart; by their folders where none does."""
    flat = [
        settings_with_effect(flatten(read_yaml_mapping(source.path, "settings")))
        for source in sources
    ]
    names = labels(flat)
    is_told = all(names) and len(set(names)) == len(names)
    return names if is_told else [source.name for source in sources]


def labels(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name configurations by settings that tell them apart, the fusion first.

    >>> labels([{"model.network.fusion.name": name, "data.x": 1} for name in ("sum", "cmx")])
    ['sum', 'cmx']
    >>> labels([{"data.x": 1, "data.y": 2}, {"data.x": 1, "data.y": 3}])
    ['y=2', 'y=3']
    """
    texts = [{name: label_of(x) for name, x in own.items()} for own in configurations]
    names = sorted(
        {name for own in texts for name in own}, key=lambda name: (name != _FUSION, name)
    )
    chosen: list[list[str]] = [[] for _ in texts]
    for name in names:
        values = [own.get(name) for own in texts]
        extended = [
            [*before, value if name == _FUSION else f"{name.rpartition('.')[2]}={value}"]
            if value is not None
            else before
            for before, value in zip(chosen, values, strict=True)
        ]
        if len({*map(tuple, extended)}) > len({*map(tuple, chosen)}):
            chosen = extended
    return [", ".join(words) for words in chosen]
