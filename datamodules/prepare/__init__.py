"""Packing data sets into one layout: `ROOT/train/NAME/{RGB,depth,GT}`, `ROOT/test/NAME/…`."""

from datamodules.prepare.plan import PreparedSet, make_plan
from datamodules.prepare.sources import Source, open_source
from datamodules.prepare.write_plan import find_written, write_plan

__all__ = ["PreparedSet", "Source", "find_written", "make_plan", "open_source", "write_plan"]
