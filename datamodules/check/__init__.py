"""Checks of data sets on disk: what `mutualformer data check` finds."""

from datamodules.check.contact_sheet import draw_contact_sheet
from datamodules.check.data_report import DataReport, check_root
from datamodules.check.finding import Finding

__all__ = ["DataReport", "Finding", "check_root", "draw_contact_sheet"]
