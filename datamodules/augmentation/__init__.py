"""Changes to training samples: geometry, colours, depth values."""
