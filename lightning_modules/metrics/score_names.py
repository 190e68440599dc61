"""The scores of saliency maps as `evaluate` heads them."""

from lightning_modules.runs.score import SALIENCY_SCORES

HEADINGS = {score.name: score.heading for score in SALIENCY_SCORES if score.heading}
LOWER_IS_BETTER = frozenset(x.name for x in SALIENCY_SCORES if not x.higher_is_better)
