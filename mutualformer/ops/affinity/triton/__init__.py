"""The same products by GPU kernels, which have run in Triton's interpreter only."""
