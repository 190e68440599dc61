"""Scores on corrupted images that are part of the repository: of several runs, in one file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datamodules.augmentation.corruption import Corruption
from datamodules.files import write_atomically
from lightning_modules.robustness.measure_runs import CLEAN, Robustness, RunRobustness
from lightning_modules.robustness.robustness_file import digest_of_content
from lightning_modules.runs.json_file import read_json
from lightning_modules.runs.score import read_scores
from lightning_modules.tables.kept_results import of_anywhere
from lightning_modules.tables.stale import code_digest
from mutualformer.errors import UserError

_DIGEST = "digest"
# Of the file of a run; what is left out is of one machine.
_KEPT = ("git", "packages", "python", "device", "date")


def keep_robustness(
    path: Path, measured: Sequence[Robustness], corruptions: Sequence[Corruption]
) -> None:
    """Write what a table and a figure need.

    Args:
        path: of the file to be written.
        measured: runs on disk.
        corruptions: that are kept, beside clean images.

    Raises:
        UserError: a run was tested by code that is in no commit.
    """
    content = {
        "corruptions": [str(corruption) for corruption in corruptions],
        "score_descriptions": [asdict(score) for score in measured[0].runs[0].descriptions],
        "configurations": [_configuration(one, corruptions) for one in measured],
    }
    content[_DIGEST] = digest_of_content(content)
    write_atomically(path, f"{json.dumps(content, indent=1, allow_nan=False)}\n".encode())


def _configuration(one: Robustness, corruptions: Sequence[Corruption]) -> dict[str, Any]:
    runs, config = [], {}
    for run in one.runs:
        record = json.loads(run.file.read_bytes())
        if not record["git"] or record["git"]["dirty"]:
            raise UserError(
                f"{run.file} was made by code that is in no commit: commit, delete it, then test "
                "again; a result that nobody can repeat is not kept"
            )
        config = of_anywhere(record["config"])
        runs.append(
            {
                "seed": run.seed,
                "scores": {key: run.scores[key] for key in (CLEAN, *map(str, corruptions))},
                "unread": run.unread,
                "code": record["measured_of"]["code"],
                **{name: record[name] for name in _KEPT},
            }
        )
    return {"label": of_anywhere(one.label), "config": config, "runs": runs}


def read_kept_robustness(path: Path) -> tuple[list[Robustness], list[Corruption]]:
    """Read a file of kept scores.

    Raises:
        UserError: there is none, it is of another kind, or it was edited.
    """
    again = f"restore it (git checkout {path}), or delete it"
    try:
        content = read_json(path, UserError, again)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file, expected one that --keep wrote") from error
    if not isinstance(content, dict) or not {"corruptions", _DIGEST} <= content.keys():
        raise UserError(f"{path} holds no kept scores, expected a file that --keep wrote")
    stated = content.pop(_DIGEST)
    if stated != digest_of_content(content):
        raise UserError(f"{path} was edited; {again}")
    descriptions = read_scores(str(path), content["score_descriptions"])
    measured = []
    for of_configuration in content["configurations"]:
        code = code_digest(of_configuration["config"])
        runs = [
            RunRobustness(
                scores=run["scores"],
                descriptions=descriptions,
                unread=run["unread"],
                seed=run["seed"],
                file=path,
                commit=run["git"]["commit"],
                is_stale=run["code"] != code,
            )
            for run in of_configuration["runs"]
        ]
        measured.append(Robustness(of_configuration["label"], tuple(runs)))
    return measured, [Corruption.parse(text) for text in content["corruptions"]]


def chosen_of(
    path: Path,
    kept: Sequence[Corruption],
    words: Sequence[str] | None,
    severities: Sequence[float] | None,
) -> list[Corruption]:
    """Return those of the kept corruptions that are asked for; all, if nothing is.

    Args:
        path: of the file, for the message.
        kept: what it holds.
        words: `MODALITY:KIND`, or `MODALITY`.
        severities: of them.

    Raises:
        UserError: a word or a severity is of none of them.
    """
    if words is not None:
        kinds = {f"{x.modality}:{x.kind}" for x in kept} | {x.modality for x in kept}
        _refuse_others(path, "--corruption", words, kinds)
        kept = [x for x in kept if {x.modality, f"{x.modality}:{x.kind}"} & {*words}]
    if severities is not None:
        levels = {f"{x.severity:g}" for x in kept}
        _refuse_others(path, "--severities", [f"{x:g}" for x in severities], levels)
        kept = [x for x in kept if x.severity in severities]
    return list(kept)


def _refuse_others(path: Path, option: str, asked: Sequence[str], there: set[str]) -> None:
    if absent := [word for word in asked if word not in there]:
        raise UserError(
            f"{option} is {', '.join(absent)}, expected of what {path} holds: "
            f"{', '.join(sorted(there))}"
        )
