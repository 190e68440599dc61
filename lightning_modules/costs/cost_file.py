"""What a configuration costs, and the `cost.json` of a run that holds it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from datamodules.files import write_atomically
from lightning_modules.runs.json_file import read_json
from lightning_modules.runs.score import is_number
from mutualformer.errors import UserError

_MOST = 1e18
_LONGEST = 200
_AGAIN = "run mutualformer cost again, or delete it"


class CostError(UserError):
    """A cost file that cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Cost:
    """What a network costs, measured on one machine.

    Attributes:
        parameters: of the network.
        trainable_parameters: those of them that are learnt.
        forward_flops: of one image, in evaluation.
        forward_ms: of one image, likewise; the median.
        forward_mib: most memory held at once meanwhile, beside weights and image.
        step_flops: of loss and gradients, per image of the batch.
        step_ms: of a training step with a whole batch; the median.
        step_mib: most memory held at once meanwhile, beside weights and batch.
        batch_size: of the training step.
        image_size: height and width, `352 × 480`.
        precision: as the trainer names it.
        device: that computed it, by type and model.
        num_threads: of a CPU; 0 on a GPU.
        torch: its version.
        git: state of the code, as in results; None outside a repository.
    """

    parameters: int
    trainable_parameters: int
    forward_flops: int
    forward_ms: float
    forward_mib: float
    step_flops: int
    step_ms: float
    step_mib: float
    batch_size: int
    image_size: str
    precision: str
    device: str
    num_threads: int
    torch: str
    git: Mapping[str, Any] | None

    @property
    def commit(self) -> str:
        """The commit of the code, shortened; says whether files differed from it."""
        if self.git is None:
            return "unknown"
        return f"{self.git['commit'][:7]}{' with changes' if self.git.get('dirty') else ''}"


def write_cost(path: Path, cost: Cost) -> None:
    """Write a cost file whole."""
    text = json.dumps(asdict(cost), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


def read_cost(path: Path) -> Cost:
    """Read and check a cost file.

    Raises:
        FileNotFoundError: there is none: the run has not been measured.
        CostError: it is cut, is no cost file, or holds values that are no costs.
    """
    content = read_json(path, CostError, _AGAIN)
    if problem := _problem(content):
        raise CostError(f"{path} is not a file of mutualformer cost: {problem}; {_AGAIN}")
    return Cost(**content)


def _problem(content: Any) -> str | None:
    if not isinstance(content, dict):
        return f"it holds a {type(content).__name__}, expected an object"
    names = [field.name for field in fields(Cost)]
    if different := sorted(content.keys() ^ set(names)):
        return f"{different[0]!r:.80} is missing or unknown"
    for field in fields(Cost):
        value = content[field.name]
        if field.type is str:
            # What holds control characters could command the terminal that shows it.
            is_good = isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST
            expected = f"printable text of at most {_LONGEST} characters"
        elif field.name == "git":
            commit = "" if value is None else value.get("commit") if isinstance(value, dict) else 0
            is_good = isinstance(commit, str) and commit.isprintable()
            expected = "an object with a commit"
        else:
            is_good = is_number(value) and 0 <= value < _MOST and field.type in (type(value), float)
            whole = "whole " if field.type is int else ""
            expected = f"a {whole}number >= 0, and below {_MOST:g}"
        if not is_good:
            return f"{field.name} is {value!r:.80}, expected {expected}"
    return None
