"""Scoring saliency maps on disk, and telling whether two sets of maps differ."""
