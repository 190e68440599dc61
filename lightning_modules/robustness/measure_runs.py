"""Test trained networks on clean and on corrupted images; each run keeps its own scores."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from datamodules.augmentation.corruption import Corruption, kinds_of
from datamodules.paired_modality_data_module import PairedModalityDataModule
from lightning_modules.base_module import class_path
from lightning_modules.cli.configuration_builder import ConfigurationBuilder, naming
from lightning_modules.cli.configurations import Source, group_seeds, refuse_for_runs
from lightning_modules.cli.output import unwritable_is_a_mistake
from lightning_modules.robustness.robustness_file import (
    Scores,
    describe_origin,
    read_known,
    write_robustness,
)
from lightning_modules.runs.provenance import describe_environment, git_state
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.score import Score
from lightning_modules.runs.yaml_text import read_yaml_mapping
from lightning_modules.tables.planned_rows import SEED
from mutualformer.errors import UserError

CLEAN = "clean"


@dataclass(frozen=True)
class RunRobustness:
    """Scores of a run.

    Attributes:
        scores: of clean images under `CLEAN`, of corrupted ones under the corruption.
        descriptions: of the scores.
        unread: the modality that was corrupted and that the network does not read, if there is one:
            scores are those of clean images then.
        seed: of its training.
        file: that holds them: the run's own, or one that is kept.
        is_new: whether some of them were measured now.
        commit: of kept scores: that measured them.
        is_stale: of kept scores: whether the code that they depend on has changed since.
    """

    scores: Mapping[str, Scores]
    descriptions: Sequence[Score]
    unread: str | None
    seed: int | None
    file: Path
    is_new: bool = False
    commit: str = ""
    is_stale: bool = False


@dataclass(frozen=True)
class Robustness:
    """Scores of a configuration.

    Attributes:
        label: tells it from the others.
        runs: of this configuration, with different seeds.
    """

    label: str
    runs: tuple[RunRobustness, ...]


def corruptions_of(words: Sequence[str], severities: Sequence[float]) -> list[Corruption]:
    """Return corruptions, kind by kind, each at all severities.

    Args:
        words: `MODALITY:KIND`, or `MODALITY` for all of its kinds.
        severities: in (0, 1].

    Raises:
        UserError: there is no such kind, or severity.

    >>> [str(x) for x in corruptions_of(["depth:blur", "depth:blur"], [0.5, 1.0])]
    ['depth:blur:0.5', 'depth:blur:1']
    """
    pairs: list[tuple[str, str]] = []
    for word in words:
        modality, _, kind = word.partition(":")
        kinds = [kind] if kind else kinds_of(modality)
        if not kinds or kind not in ("", *kinds_of(modality)):
            known = [f"{name}:{x}" for name in ("rgb", "depth") for x in kinds_of(name)]
            raise UserError(
                f"--corruption is {word!r}, expected one of {', '.join(known)}, or rgb or depth "
                "for all of them; severities are given with --severities"
            )
        pairs += [(modality, kind) for kind in kinds]
    return [Corruption(*pair, severity) for pair in dict.fromkeys(pairs) for severity in severities]


def measure_runs(
    sources: Sequence[Source],
    corruptions: Sequence[Corruption],
    settings: Sequence[str],
    *,
    to_keep: bool = False,
) -> list[Robustness]:
    """Test runs; every `robustness.json` is written as soon as something of it is known.

    What it has already is not measured again, if it is of the same checkpoint, settings, images,
    code and packages; what it has beside what is asked for stays.

    Args:
        sources: runs.
        corruptions: at least one.
        settings: flags that lie over every configuration.
        to_keep: whether the scores are to be kept in the repository, for which the code that
            measures them has to be in a commit.

    Raises:
        UserError: something is no run, has no checkpoint, or cannot be tested so, names it; the
            code is in no commit.
    """
    for source in sources:
        if source.run is None:
            raise UserError(f"{source.name} is an experiment, expected the folder of a trained run")
        source.run.find_checkpoint()  # before hours are spent on others
    refuse_for_runs(sources, settings)
    settings = [*settings, f"--data.corruption={corruptions[0]}"]
    with naming(sources[0]):
        builder = _RunTester("test", sources[0], settings)
    found = {}
    for number, source in enumerate(sources, start=1):
        assert source.run is not None
        with naming(source):
            place = f"{source.name} ({number} of {len(sources)})"
            found[source.path] = builder.test(source, source.run, corruptions, place, to_keep)
    return [
        Robustness(label, tuple(found[source.path] for source in members))
        for label, members in configurations_of(sources)
    ]


def configurations_of(sources: Sequence[Source]) -> list[tuple[str, list[Source]]]:
    """Return label and runs of each configuration."""
    resolved = [read_yaml_mapping(source.path, "settings") for source in sources]
    return [(label, members) for label, _, members in group_seeds(sources, resolved)]


class _RunTester(ConfigurationBuilder):
    """Load the best checkpoint of a run once, and test it on images of several kinds."""

    def test(
        self,
        source: Source,
        run: RunFolder,
        corruptions: Sequence[Corruption],
        place: str,
        to_keep: bool,
    ) -> RunRobustness:
        self.build_trained(source, run, enable_progress_bar=False, enable_model_summary=False)
        data, model = self.datamodule, self.model
        if not isinstance(data, PairedModalityDataModule):
            raise UserError(
                f"{class_path(data)} corrupts no images, expected a subclass of "
                "PairedModalityDataModule"
            )
        for corruption in corruptions:
            data.check_corruption(corruption)
        origin = self._describe_origin(data, run)
        config = read_yaml_mapping(source.path, "settings")
        scores, reason = read_known(run.robustness, origin)
        wanted = {CLEAN: None, **{str(corruption): corruption for corruption in corruptions}}
        missing = [key for key in wanted if key not in scores]
        if missing and to_keep and ((git := git_state()) is None or git["dirty"]):
            raise UserError(
                "--keep: the code here is in no commit: commit it, then test; a result that nobody "
                "can repeat is not kept"
            )
        _say(place, len(missing), len(wanted), run, reason)
        for key in missing:
            of_key = wanted[key]
            is_read = of_key is None or of_key.modality in model.modalities
            scores[key] = self._scores(data, of_key) if is_read else scores[CLEAN]
            # An interruption keeps what was measured until then.
            with unwritable_is_a_mistake():
                write_robustness(
                    run.robustness,
                    scores,
                    origin,
                    score_descriptions=[asdict(score) for score in model.scores],
                    protocol=model.protocol,
                    checkpoint=run.find_checkpoint().name,
                    config=config,
                    **describe_environment(self.trainer.strategy.root_device, 1),
                    date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                )
        unread = {x.modality for x in corruptions} - {*model.modalities}
        return RunRobustness(
            scores=scores,
            descriptions=model.scores,
            unread=next(iter(unread), None),
            seed=config.get(SEED),
            file=run.robustness,
            is_new=bool(missing),
        )

    def _describe_origin(self, data: PairedModalityDataModule, run: RunFolder) -> dict[str, Any]:
        data.corruption = None
        data.trainer = self.trainer  # as when it tests
        data.prepare_data()
        data.setup("test")
        return describe_origin(run.find_checkpoint(), self._resolved_config(), data.test_datasets)

    def _scores(self, data: PairedModalityDataModule, corruption: Corruption | None) -> Scores:
        data.corruption = corruption
        self.trainer.test(self.model, datamodule=data, verbose=False)
        latest: Mapping[str, Mapping[str, Any]] = self.model.latest_scores
        return {
            dataset: {name: x if math.isfinite(x) else None for name, x in values.items()}
            for dataset, values in latest.items()
        }


def _say(place: str, missing: int, wanted: int, run: RunFolder, reason: str) -> None:
    if not missing:
        text = f"Nothing to test of {place}: all {wanted} kinds of images are in {run.robustness}"
    else:
        text = f"Testing {place}"
        if missing < wanted:
            text += f": {wanted - missing} of {wanted} kinds of images are in {run.robustness}"
        elif reason:
            text += f", all of it: {reason}"
    print(text, file=sys.stderr, flush=True)
