"""Names of a package that are imported when they are first used."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return a ``__getattr__`` for the ``__init__.py`` of a package.

    So importing the package, or a light module in it, waits for none of what its names need.

    Args:
        package: its ``__name__``.
        modules: name to the module that defines it.

    >>> lazy_names("mutualformer", {"UserError": "mutualformer.errors"})("UserError").__name__
    'UserError'
    """

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules[name]), name)

    return get
