"""The label of a pixel that has none, apart from losses.py, which needs torch."""

IGNORED = 255
"""Label of a pixel that no loss and no score counts."""
