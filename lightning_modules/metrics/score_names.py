"""The scores and what tables call them. Importing this does not import torch."""

# Max F over the data set is left out: beside these it would be mistaken.
HEADINGS = {
    "s_measure": "S",
    "f_max": "max F",
    "f_mean": "mean F",
    "f_adaptive": "adp F",
    "f_weighted": "wF",
    "e_max": "max E",
    "e_mean": "mean E",
    "e_adaptive": "adp E",
    "mae": "MAE",
}
LOWER_IS_BETTER = frozenset({"mae"})
