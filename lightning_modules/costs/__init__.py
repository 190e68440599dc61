"""What a configuration costs: parameters, FLOPs, time and memory."""
