"""What a score is called, which side of it is better, and what values it can have."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mutualformer.errors import UserError

# Scores at the ends of their range may be rounded beyond them, by float32 for instance.
_ROUNDING = 1e-6
# Neither a name nor a heading can become markup in any format of a table.
_NAME, _HEADING = r"\w{1,40}", r"[\w .%@()/+-]{0,40}"


@dataclass(frozen=True)
class Score:
    """Describe a score of a task to whoever shows, ranks or checks its values.

    Args:
        name: in results, logs and definitions of tables.
        heading: in tables and figures; empty for a score that they leave out.
        higher_is_better: the direction of better values.
        low: least possible value; None if there is none.
        high: largest possible value; None if there is none.
        main: whether it is shown where there is room for few.

    Raises:
        UserError: an argument is of another type, or holds other characters.

    >>> Score("rmse", "RMSE", higher_is_better=False, high=None).titled
    'RMSE ↓'
    """

    name: str
    heading: str
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    main: bool = False

    def __post_init__(self) -> None:
        for value, pattern in ((self.name, _NAME), (self.heading, _HEADING)):
            if not (isinstance(value, str) and re.fullmatch(pattern, value)):
                raise UserError(
                    f"a score is called or headed {value!r:.80}, expected letters, digits and "
                    "underscores, in a heading also spaces and . % @ ( ) / + -"
                )
        for end in (self.low, self.high):
            if not (end is None or is_number(end)):
                raise UserError(f"the score {self.name} ends at {end!r:.80}, expected a number")
        if not all(type(flag) is bool for flag in (self.higher_is_better, self.main)):
            raise UserError(f"higher_is_better and main of the score {self.name} are no booleans")

    @property
    def titled(self) -> str:
        """The heading with an arrow to the better side."""
        return f"{self.heading} {'↑' if self.higher_is_better else '↓'}"

    @property
    def expected(self) -> str:
        """What values it can have, in words."""
        low = "(-∞" if self.low is None else f"[{self.low:g}"
        high = "∞)" if self.high is None else f"{self.high:g}]"
        return f"a number in {low}, {high}"

    def allows(self, value: float) -> bool:
        """Tell whether a finite number can be a value of this score."""
        return (self.low is None or value >= self.low - _ROUNDING * abs(self.low)) and (
            self.high is None or value <= self.high + _ROUNDING * abs(self.high)
        )


def check_scores(owner: str, scores: Sequence[Score]) -> None:
    """Refuse scores that tables and logs could not tell apart.

    Args:
        owner: class that lists them, for the message.
        scores: all of its scores.

    Raises:
        UserError: there is none, or two share a name or a heading.
    """
    if not scores:
        raise UserError(f"{owner} lists no scores, expected at least one, the one to choose by")
    headings = [score.heading for score in scores if score.heading]
    for kind, texts in (("called", [score.name for score in scores]), ("headed", headings)):
        if twice := [text for text in texts if texts.count(text) > 1]:
            raise UserError(
                f"{len(twice)} scores of {owner} are {kind} {twice[0]!r}, expected each once: "
                "rename one of them"
            )


def find_impossible(
    scores: Sequence[Score], dataset: str, values: Mapping[str, float | None]
) -> str | None:
    """Say which value has no description, or cannot be one of its score; None if all can.

    Args:
        scores: descriptions.
        dataset: whose scores these are, for the message.
        values: by name; undefined ones, None or not finite, are possible.
    """
    known = {score.name: score for score in scores}
    for name, value in values.items():
        if name not in known:
            return f"{dataset} has the score {name!r:.80}, expected one of {', '.join(known)}"
        if value is not None and math.isfinite(value) and not known[name].allows(value):
            return f"{name} of {dataset} is {value:g}, expected {known[name].expected}"
    return None


def lower_is_better(name: str, scores: Sequence[Score]) -> bool:
    """Tell which side of a logged score is better: that of its description, or lower for a loss.

    >>> lower_is_better("val/held_out/loss", []), lower_is_better("val/held_out/accuracy", [])
    (True, False)
    """
    last = name.rpartition("/")[2]
    described = {score.name: not score.higher_is_better for score in scores}
    return described.get(last, last.endswith("loss"))


def is_number(value: Any) -> bool:
    """Tell whether a value out of a file is a finite number.

    >>> is_number(1), is_number(float("nan")), is_number(True), is_number(10**400)
    (True, False, False, False)
    """
    return type(value) in (int, float) and -1e300 < value < 1e300


def read_scores(owner: str, content: Any) -> tuple[Score, ...]:
    """Read descriptions that a file holds as a list of mappings.

    Raises:
        UserError: they are damaged.
    """
    try:
        scores = tuple(Score(**entry) for entry in list(content))
    except TypeError as error:
        raise UserError(f"{owner} describes its scores by {content!r:.80}") from error
    check_scores(owner, scores)
    return scores


# E divides by the number of pixels less one, as its oracle does: a perfect map has more than 1.
_HIGHEST_E = 1.01
# The scores of salient object detection; those of results of former versions, which describe none,
# and those that publications state.
SALIENCY_SCORES: tuple[Score, ...] = (
    Score("s_measure", "S", main=True),
    Score("f_max", "max F", main=True),
    Score("f_mean", "mean F"),
    Score("f_adaptive", "adp F"),
    Score("f_weighted", "wF"),
    Score("e_max", "max E", high=_HIGHEST_E, main=True),
    Score("e_mean", "mean E", high=_HIGHEST_E),
    Score("e_adaptive", "adp E", high=_HIGHEST_E),
    Score("mae", "MAE", higher_is_better=False, main=True),
    # In a table, this one would be mistaken for max F of the protocol.
    Score("f_max_dataset", ""),
)
# Those of semantic segmentation, of whatever classes; see metrics/confusion_scores.py.
SEGMENTATION_SCORES: tuple[Score, ...] = (
    Score("miou", "mIoU", main=True),
    Score("miou_absent_zero", "mIoU (absent 0)"),
    Score("mean_accuracy", "mAcc", main=True),
    Score("mean_accuracy_absent_zero", "mAcc (absent 0)"),
    Score("pixel_accuracy", "PixAcc", main=True),
    Score("fw_iou", "fwIoU", main=True),
)
