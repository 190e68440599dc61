"""Tables and plots of runs beside published numbers. Importing this does not import torch."""
