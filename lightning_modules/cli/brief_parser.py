"""The parser of the training commands."""

from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from mutualformer.errors import UserError


class BriefParser(LightningArgumentParser):
    """Raise a mistake as one message, without the pages of usage that come before it."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a `UserError`."""
        raise UserError(" ".join(message.split())) from ex
