"""Sweeps: one file, many trials."""
