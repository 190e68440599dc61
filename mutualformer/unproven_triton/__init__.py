"""GPU kernels for products with a softmax affinity, which have run in an interpreter only."""
