"""The block that the authors released, which differs from the paper's."""
