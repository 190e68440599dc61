"""Results that are part of the repository: those of a table's finished runs, in one small file."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from datamodules.files import write_atomically
from lightning_modules.runs.results import Results, ResultsError, parse_results
from lightning_modules.tables.runs import Run
from mutualformer.errors import UserError

# Of a results file; what is left out, as the checkpoint's path, is of one machine.
_KEPT = (
    *("scores", "score_descriptions", "num_images", "data_digest", "protocol", "remarks", "seed"),
    *("config", "git", "packages", "python", "device", "date", "validation", "confirmed"),
)
_HEADER = {"digest", "runs", "table"}


def kept_path(table: Path) -> Path:
    """Return where the results of a table are kept: `results/NAME.jsonl` beside its folder.

    >>> kept_path(Path("experiments/tables/epsilon.yaml")).as_posix()
    'experiments/results/epsilon.jsonl'
    """
    return table.parent.parent / "results" / f"{table.stem}.jsonl"


def read_kept(path: Path) -> dict[str, Results]:
    """Read kept results, by the folder of their run; none if there is no such file.

    Raises:
        ResultsError: lines are missing or were edited, or are no results.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} cannot be read: {error}") from error
    try:
        stated = json.loads(header)
        records = [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path} is damaged ({error}); {_restore(path)}") from error
    if not isinstance(stated, dict) or stated.keys() != _HEADER:
        raise ResultsError(f"{path} has no header of kept results; {_restore(path)}")
    if stated["runs"] != len(lines) or stated["digest"] != _digest(lines):
        raise ResultsError(
            f"{path} is incomplete or was edited: it holds {len(lines)} runs, expected "
            f"{stated['runs']} as they were kept; {_restore(path)}"
        )
    kept = {}
    for record in records:
        if not isinstance(record, dict) or not isinstance(record.get("folder"), str):
            raise ResultsError(f"{path} holds a line without the folder of its run")
        kept[record["folder"]] = parse_results(path, record.get("results"))
    return kept


def keep_results(path: Path, table: str, runs: Iterable[Run]) -> int:
    """Write what a table needs of its runs; those kept before stay where there is no newer one.

    A run that was made again, by other code and with the same scores to the last digit, confirms
    all that were kept of the commit it had before: what changed since does not matter to them.

    Args:
        path: of the file to be written.
        table: its title.
        runs: with results, kept ones included.

    Returns:
        How many runs the file holds.

    Raises:
        UserError: a run was made by code that is in no commit.
    """
    before = _records(path)
    records: dict[str, dict[str, Any]] = {}
    confirmed = {}
    for run in runs:
        folder = run.planned.folder.as_posix()
        if run.is_kept:
            records[folder] = before[folder]
            continue
        content = json.loads(run.results.path.read_bytes())
        if not run.results.git or run.results.git.get("dirty"):
            raise UserError(
                f"{run.results.path} was made by code that is in no commit: commit, then run it "
                "again; a result that nobody can repeat is not kept"
            )
        former = before[folder]["results"] if folder in before else {}
        if former.get("scores") == content["scores"] and former["git"] != content["git"]:
            confirmed[former["git"]["commit"]] = {**content["git"], "folder": folder}
            records[folder] = before[folder]
            continue
        records[folder] = {
            "folder": folder,
            "results": {name: of_anywhere(content[name]) for name in _KEPT if name in content},
        }
    for record in records.values():
        commit = record["results"]["git"]["commit"]
        if commit in confirmed:
            record["results"]["confirmed"] = confirmed[commit]
    lines = [json.dumps(records[folder], sort_keys=True) for folder in sorted(records)]
    header = {"table": table, "runs": len(lines), "digest": _digest(lines)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "\n".join([json.dumps(header), *lines, ""]).encode())
    return len(lines)


def of_anywhere(value: Any) -> Any:
    """Leave the folders of this machine out: of absolute paths, the last part stays.

    >>> of_anywhere({"root": "/mnt/data/rendered", "folds": ["a/b", 3]})
    {'root': 'rendered', 'folds': ['a/b', 3]}
    """
    if isinstance(value, dict):
        return {name: of_anywhere(part) for name, part in value.items()}
    if isinstance(value, list):
        return [of_anywhere(part) for part in value]
    if isinstance(value, str) and value.startswith(("/", "~")):
        return PurePosixPath(value).name
    return value


def _records(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    _, *lines = path.read_text(encoding="utf-8").splitlines()
    return {record["folder"]: record for record in map(json.loads, lines)}


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _restore(path: Path) -> str:
    return f"restore it (git checkout {path}), or delete it"
