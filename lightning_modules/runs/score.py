"""What a score is called, which side of it is better, and what values it can have."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from mutualformer.errors import UserError

# Scores at the ends of their range may be rounded beyond them, as float32 in files of old versions.
_ROUNDING = 1e-6
_HEADING = r"[\w .%@()/+-]{0,40}"


@dataclass(frozen=True)
class Score:
    """Describe a score of a task to whoever shows, ranks or checks its values.

    Args:
        name: in results, logs and definitions of tables: letters, digits and underscores.
        heading: in tables and figures; empty for a score that they leave out.
        higher_is_better: the direction of better values.
        low: least possible value; None if there is none.
        high: largest possible value; None if there is none.
        main: whether it is shown where there is room for few.

    >>> Score("rmse", "RMSE", higher_is_better=False, high=None).titled
    'RMSE ↓'
    """

    name: str
    heading: str
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    main: bool = False

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
        return (self.low is None or value >= self.low - _ROUNDING) and (
            self.high is None or value <= self.high + _ROUNDING
        )


def check_scores(owner: str, scores: Sequence[Score]) -> None:
    """Refuse scores that tables and logs could not tell apart.

    Args:
        owner: class that lists them, for the message.
        scores: all of its scores.

    Raises:
        UserError: there is none, or a name or a heading is no plain text, or that of two scores.
    """
    if not scores:
        raise UserError(f"{owner} lists no scores, expected at least one, the one to choose by")
    for score in scores:
        # Neither can become markup in any format of a table.
        if not (re.fullmatch(r"\w+", score.name) and re.fullmatch(_HEADING, score.heading)):
            raise UserError(
                f"a score of {owner} is called {score.name!r:.80} and headed {score.heading!r:.80},"
                " expected a name of letters, digits and underscores, and a heading of these, "
                "spaces and . % @ ( ) / + -"
            )
    headed = [score.heading for score in scores if score.heading]
    for kind, texts in (("called", [score.name for score in scores]), ("headed", headed)):
        if twice := [text for text in texts if texts.count(text) > 1]:
            raise UserError(
                f"{len(twice)} scores of {owner} are {kind} {twice[0]!r}, expected each once: "
                "rename one of them"
            )


def find_impossible(
    scores: Sequence[Score], dataset: str, values: Mapping[str, float | None]
) -> str | None:
    """Say which value cannot be one of its score; None if all can.

    Args:
        scores: descriptions; other names are left alone.
        dataset: whose scores these are, for the message.
        values: by name; undefined ones, None or not finite, are possible.
    """
    for score in scores:
        value = values.get(score.name)
        if value is not None and math.isfinite(value) and not score.allows(value):
            return f"{score.name} of {dataset} is {value:g}, expected {score.expected}"
    return None


def is_number(value: Any) -> bool:
    """Tell whether a value out of a file is a finite number.

    >>> is_number(1), is_number(float("nan")), is_number(True), is_number(10**400)
    (True, False, False, False)
    """
    return type(value) in (int, float) and -1e300 < value < 1e300


def describe_scores(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Return descriptions as ``results.json`` holds them."""
    return [asdict(score) for score in scores]


def read_scores(owner: str, content: Any) -> tuple[Score, ...]:
    """Read descriptions back.

    Raises:
        UserError: they are damaged.
    """
    if not isinstance(content, list):
        raise UserError(f"{owner} describes its scores by {content!r:.80}, expected a list")
    for entry in content:
        whole = isinstance(entry, dict) and set(entry) == {field.name for field in fields(Score)}
        if not (
            whole
            and all(type(entry[key]) is str for key in ("name", "heading"))
            and all(type(entry[key]) is bool for key in ("higher_is_better", "main"))
            and all(entry[key] is None or is_number(entry[key]) for key in ("low", "high"))
        ):
            raise UserError(f"{owner} describes a score by {entry!r:.80}")
    scores = tuple(Score(**entry) for entry in content)
    check_scores(owner, scores)
    return scores


# E divides by the number of pixels less one, as its oracle does: a perfect map has more than 1.
_HIGHEST_E = 1.01
# Of salient object detection; also of results of former versions, which describe no scores, and
# of published ones.
SALIENCY_SCORES = (
    Score("s_measure", "S", main=True),
    Score("f_max", "max F", main=True),
    Score("f_mean", "mean F"),
    Score("f_adaptive", "adp F"),
    Score("f_weighted", "wF"),
    Score("e_max", "max E", high=_HIGHEST_E, main=True),
    Score("e_mean", "mean E", high=_HIGHEST_E),
    Score("e_adaptive", "adp E", high=_HIGHEST_E),
    Score("mae", "MAE", higher_is_better=False, main=True),
    # Beside max F of the protocol it would be mistaken for that.
    Score("f_max_dataset", ""),
)
