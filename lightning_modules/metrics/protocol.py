"""What every number says about how it was computed."""

PROTOCOL = (
    "PySODMetrics 1.6 convention: predictions resized to the ground truth's size, stored in "
    "8 bits, min-max normalised; curves over 256 thresholds per image, averaged over images, "
    "then maximum or mean"
)
# The same in one word, for the rows of a CSV file.
PROTOCOL_NAME = "pysodmetrics-1.6"
