"""Scores of trained networks when one modality is missing, noisy or shifted."""
