"""Unpacking the hub's Parquet files into `ROOT/train/NAME/{RGB,depth,GT}`, `ROOT/test/NAME/…`."""
