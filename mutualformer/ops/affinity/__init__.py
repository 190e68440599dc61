"""Products with a softmax affinity that never form it whole, and their gradients."""
