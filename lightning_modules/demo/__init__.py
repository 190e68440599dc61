"""A page in which one tries a trained network, by `mutualformer demo`."""
