"""Sweeps: one file, many trials. Importing this does not import torch."""
