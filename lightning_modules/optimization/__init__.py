"""The optimiser and the schedule of a training: built, continued, averaged over batches."""
