"""Differences between configurations on corrupted images, paired by seed."""

import re
import statistics
from collections.abc import Sequence

from lightning_modules.robustness.measure_runs import Robustness
from lightning_modules.tables.seed_intervals import seed_difference
from lightning_modules.tables.table import Interval
from mutualformer.errors import UserError


def find_references(labels: Sequence[str], reference: str) -> list[int]:
    """Return the position of the configuration that each is compared with.

    Where several have what is asked for, it is the one that is otherwise as the compared one.

    Args:
        labels: of the configurations, words with commas between.
        reference: one such word or several.

    Raises:
        UserError: there is no such configuration, or none that is otherwise the same.

    >>> find_references(["sum, p=0", "cmx, p=0", "sum, p=0.3", "cmx, p=0.3"], "p=0")
    [0, 1, 0, 1]
    >>> find_references(["sum, p=0", "cmx, p=0", "sum, p=0.3", "cmx, p=0.3"], "cmx")
    [1, 1, 3, 3]
    >>> find_references(["sum, p=0", "cmx, p=0"], "sum")
    [0, 0]
    """
    wanted, words = _words(reference), [_words(label) for label in labels]
    candidates = [place for place, own in enumerate(words) if {*wanted} <= {*own}]
    there = " | ".join(labels)
    if len(labels) < 2 or not wanted or not candidates:
        raise UserError(
            f"--reference is {reference!r}, expected a configuration out of several, or words that "
            f"some of them have in common; there {'are' if labels[1:] else 'is'}: {there}"
        )
    if len(candidates) == 1:
        return candidates * len(labels)
    references = []
    for label, own in zip(labels, words, strict=True):
        rest = _without(own, wanted)
        alike = [place for place in candidates if _without(words[place], wanted) == rest]
        if len(alike) != 1:
            raise UserError(
                f"--reference is {reference!r}, and {len(alike) or 'none'} of those with it are "
                f"otherwise as {label}: expected one; there are: {there}"
            )
        references += alike
    return references


def difference(
    own: Robustness, other: Robustness, key: str, dataset: str, score: str
) -> Interval | None:
    """Return the difference of two configurations, and its 95 % interval over the seeds.

    Args:
        own: a configuration.
        other: what it is compared with.
        key: `CLEAN` or a corruption.
        dataset: test set.
        score: by name.
    """
    return seed_difference(*(_by_seed(one, key, dataset, score) for one in (own, other)))


def _by_seed(one: Robustness, key: str, dataset: str, score: str) -> dict[int | None, float]:
    """Return the score of each seed; the mean, where it was trained several times."""
    found: dict[int | None, list[float]] = {}
    for run in one.runs:
        value = run.scores[key].get(dataset, {}).get(score)
        if run.seed is not None and value is not None:
            found.setdefault(run.seed, []).append(value)
    return {seed: statistics.fmean(values) for seed, values in found.items()}


def _words(label: str) -> list[str]:
    """Divide a label at its commas, but for those within lists."""
    return [word for word in re.split(r",\s*(?![^\[{]*[\]}])", label.strip()) if word]


def _without(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the words that set something else than the others; a fusion stands by itself."""
    names = {_name(word) for word in others}
    return [word for word in words if _name(word) not in names]


def _name(word: str) -> str:
    return word.partition("=")[0] if "=" in word else ""
