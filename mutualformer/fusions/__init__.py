"""Fusions of two token streams into one, behind one interface."""
