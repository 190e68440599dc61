"""A run: its folder, checkpoints, settings, results, and what they came from."""
