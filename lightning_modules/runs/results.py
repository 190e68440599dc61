"""Read the `results.json` of a test run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_modules.runs.json_file import read_json
from lightning_modules.runs.score import (
    SALIENCY_SCORES,
    Score,
    find_impossible,
    is_number,
    read_scores,
)
from mutualformer.errors import UserError

# No configuration is nested so deep.
_DEEPEST = 50
_KINDS: dict[str, type] = {
    "scores": dict,
    "num_images": dict,
    "protocol": str,
    "remarks": list,
    "data_digest": dict,
    "config": dict,
    "git": dict,
    "seed": int,
    "validation": dict,
    "checkpoint": str,
    "confirmed": dict,
}


class ResultsError(UserError):
    """A results file that cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Results:
    """Scores of a test run and where they came from.

    Attributes:
        path: the file.
        scores: by data set, then by score; None where it was not finite.
        descriptions: of these scores; saliency's in files of versions that did not write them.
        num_images: by data set.
        data_digest: by data set: changes with the names or the masks of its images; empty in files
            of versions that did not write it.
        protocol: how the scores were computed.
        remarks: what a table is to say of the network.
        seed: of the training; None if unknown.
        config: the resolved configuration; empty if unknown.
        validation: the score on held-out training data that the tested checkpoint was chosen by, by
            its logged name; empty if there is none, and in files of versions that did not write it.
        git: `{"commit": str, "dirty": bool}`; None outside a repository.
        checkpoint: path of the one that was tested, as then seen; empty if unknown.
        confirmed: of kept results: as `git`, and the `folder` of the run that was made again with
            that code and had the scores of its former one.
    """

    path: Path
    scores: dict[str, dict[str, float | None]]
    descriptions: tuple[Score, ...]
    num_images: dict[str, int]
    data_digest: dict[str, str]
    protocol: str
    remarks: tuple[str, ...]
    seed: int | None
    config: dict[str, Any]
    validation: dict[str, float]
    git: dict[str, Any] | None
    checkpoint: str = ""
    confirmed: dict[str, Any] | None = None


def read_results(path: Path) -> Results:
    """Read and check a results file.

    Raises:
        FileNotFoundError: there is no such file: the run has not been tested yet.
        ResultsError: it is cut, is no results file, or holds values that are no scores.
    """
    content = read_json(path, ResultsError, "run mutualformer test again, or delete it")
    return parse_results(path, content)


def parse_results(path: Path, content: Any) -> Results:
    """Check what a results file holds.

    Raises:
        ResultsError: it is no results file, or holds values that are no scores.
    """
    problem = _problem(content)
    descriptions = SALIENCY_SCORES
    if not problem and "score_descriptions" in content:
        try:
            descriptions = read_scores("it", content["score_descriptions"])
        except UserError as error:
            problem = str(error)
    for dataset, scores in () if problem else content["scores"].items():
        problem = problem or find_impossible(descriptions, dataset, scores)
    if problem:
        raise ResultsError(f"{path} is not a results file of mutualformer test: {problem}")
    return Results(
        path=path,
        scores=content["scores"],
        descriptions=descriptions,
        num_images=content["num_images"],
        data_digest=content.get("data_digest") or {},
        protocol=content["protocol"],
        remarks=tuple(content.get("remarks") or ()),
        seed=content.get("seed"),
        config=content.get("config") or {},
        validation=content.get("validation") or {},
        git=content.get("git"),
        checkpoint=content.get("checkpoint") or "",
        confirmed=content.get("confirmed"),
    )


def _problem(content: Any) -> str | None:
    """Say what keeps this from being the content of a results file."""
    if not isinstance(content, dict):
        return f"it holds a {type(content).__name__}, expected an object"
    for key, kind in _KINDS.items():
        optional = key not in ("scores", "num_images", "protocol")
        if not (isinstance(content.get(key), kind) or (optional and content.get(key) is None)):
            return f"{key} is {content.get(key)!r:.80}, expected a {kind.__name__}"
    if any(not isinstance(remark, str) for remark in content.get("remarks") or ()):
        return f"remarks is {content['remarks']!r:.80}, expected texts"
    problem = _strange_text(content)
    if problem:
        return problem
    if not content["scores"]:
        return "scores is empty"
    for dataset, scores in content["scores"].items():
        if not isinstance(scores, dict):
            return f"scores of {dataset} is {scores!r:.80}, expected an object"
        for name, value in scores.items():
            if value is not None and not is_number(value):
                return f"{name} of {dataset} is {value!r:.80}, expected a number"
        count = content["num_images"].get(dataset)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            return f"num_images of {dataset} is {count!r:.80}, expected an integer >= 1"
    for name, value in (content.get("validation") or {}).items():
        if not is_number(value):
            return f"validation by {name} is {value!r:.80}, expected a number"
    return None


def _strange_text(content: Any) -> str | None:
    """Say what could command the terminal that shows it, or break a line of a table."""
    waiting = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        texts: list[str] = []
        if depth > _DEEPEST:
            return f"it is nested deeper than {_DEEPEST}"
        if isinstance(value, dict):
            waiting += [(part, depth + 1) for part in value.values()]
            texts = list(value)
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]
        elif isinstance(value, str):
            texts = value.split("\n")
        strange = [text for text in texts if not text.isprintable()]
        if strange:
            return f"{strange[0]!r:.80} holds control characters"
    return None
