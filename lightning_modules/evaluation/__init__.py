"""Scoring predictions on disk, and telling whether two sets of them differ."""
