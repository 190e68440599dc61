"""Descriptions of scores: read back as written, and refused where they would be mistaken."""

import json
import math
from dataclasses import asdict

import pytest

from lightning_modules.runs.score import (
    SALIENCY_SCORES,
    Score,
    check_scores,
    find_impossible,
    read_scores,
)
from mutualformer.errors import UserError

RMSE = Score("rmse", "RMSE", higher_is_better=False, high=None)


def test_descriptions_survive_json() -> None:
    scores = (*SALIENCY_SCORES, RMSE, Score("gain", "Gain (dB)", low=None, high=None))
    assert read_scores("it", json.loads(json.dumps([asdict(x) for x in scores]))) == scores


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([], "mine.Task lists no scores"),
        ([RMSE, Score("rmse", "other")], "2 scores of mine.Task are called 'rmse'"),
        ([RMSE, Score("rms", "RMSE")], "2 scores of mine.Task are headed 'RMSE'"),
    ],
)
def test_scores_that_could_be_mistaken_are_refused(scores: list[Score], words: str) -> None:
    with pytest.raises(UserError) as error:
        check_scores("mine.Task", scores)
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["a/b", "<b>", "x\n", "$x$", "|", "[a]", "=1"])
def test_no_score_is_called_by_markup(text: str) -> None:
    for name, heading in ((text, "x"), ("x", text)):
        if (name, heading) != ("x", "a/b"):
            with pytest.raises(UserError, match="expected letters, digits"):
                Score(name, heading)


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"high": "1"},
        {"high": True},
        {"low": math.inf},
        {"high": 10**400},
        {"main": 1},
        {"more": 1},
        {"heading": "=1+1"},
    ],
)
def test_damaged_descriptions_are_refused(change: dict) -> None:
    entry = asdict(RMSE)
    with pytest.raises(UserError):
        read_scores("it", [entry | change])
    for content in (None, entry, "rmse", [[]], []):
        with pytest.raises(UserError):
            read_scores("it", content)


def test_the_range_is_that_of_the_score() -> None:
    assert find_impossible([RMSE], "SET", {"rmse": 7.0}) is None
    unknown = find_impossible([RMSE], "SET", {"other": 7.0})
    assert unknown == "SET has the score 'other', expected one of rmse"
    impossible = find_impossible([RMSE], "SET", {"rmse": -0.5})
    assert impossible == "rmse of SET is -0.5, expected a number in [0, ∞)"
    assert find_impossible([RMSE], "SET", {"rmse": math.nan}) is None
    # What float32 made of a 1.
    assert find_impossible(SALIENCY_SCORES, "SET", {"s_measure": 1 + 1.2e-7}) is None
    assert find_impossible(SALIENCY_SCORES, "SET", {"s_measure": 1.001})
