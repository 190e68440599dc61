"""The argument parser of the training commands."""

from typing import Any, NoReturn, Union, get_args, get_origin

from lightning.pytorch.cli import LightningArgumentParser
from torch.optim.lr_scheduler import LRScheduler

from lightning_modules.optimization.schedule import filled_in
from mutualformer.errors import UserError


def _integers_first(kind: Any) -> Any:
    """Return a union of types in which a text is tried as an integer before it is as a float.

    `Optional[Union[int, float]]` and `Optional[Union[float, int]]` are one to Python's cache of
    types, so that which library is imported first would decide whether 1 is a batch or all of them.

    >>> get_args(_integers_first(Union[float, int, None]))[:2]
    (<class 'int'>, <class 'float'>)
    """
    kinds = get_args(kind)
    if get_origin(kind) is not Union or not {int, float} <= {*kinds}:
        return kind
    others = tuple(x for x in kinds if x not in (int, float))
    return Union[(int, float) + others]  # noqa: RUF005, UP007 (Python 3.10; types not known here)


class BriefParser(LightningArgumentParser):
    """Raise a mistake as one message, and know what a scheduler gets where nothing is typed."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a `UserError`, without the pages of usage that come before it."""
        raise UserError(" ".join(message.split())) from ex

    def add_class_arguments(self, theclass: type, *arguments: Any, **options: Any) -> list[str]:
        """Add the arguments of a class; those that the schedule fills in may be left out."""
        names = super().add_class_arguments(theclass, *arguments, **options)
        for action in self._actions:
            if hasattr(action, "_typehint"):
                action._typehint = _integers_first(action._typehint)
        if isinstance(theclass, type) and issubclass(theclass, LRScheduler):
            skipped = options.get("skip") or set()
            for name, kind in filled_in(theclass).items():
                if name in skipped:
                    self.add_argument(f"--{name}", type=kind, default=None)
        return names
