"""Tables and plots of runs beside published numbers."""
