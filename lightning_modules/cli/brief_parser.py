"""The argument parser of the training commands."""

from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser
from torch.optim.lr_scheduler import LRScheduler

from lightning_modules.optimization.schedule import filled_in
from mutualformer.errors import UserError


class BriefParser(LightningArgumentParser):
    """Raise a mistake as one message, and know what a scheduler gets where nothing is typed."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a `UserError`, without the pages of usage that come before it."""
        raise UserError(" ".join(message.split())) from ex

    def add_class_arguments(self, theclass: type, *arguments: Any, **options: Any) -> list[str]:
        """Add the arguments of a class; those that the schedule fills in may be left out."""
        names = super().add_class_arguments(theclass, *arguments, **options)
        if isinstance(theclass, type) and issubclass(theclass, LRScheduler):
            skipped = options.get("skip") or set()
            for name, kind in filled_in(theclass).items():
                if name in skipped:
                    self.add_argument(f"--{name}", type=kind, default=None)
        return names
