"""Tell a library's refusal of the user's settings from a defect, by phase and by whose code raised.

Until the first step nothing has run but libraries that digest settings, and our own code or a class
of the user's that they call. So an exception with a library's code alone between the call and where
it was raised is about the settings; one that passed through our code, or the user's, is a defect.
"""

import inspect
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import datamodules
import lightning_modules
import mutualformer
from lightning_modules import base_module
from lightning_modules.cli.errors import explain, text_of
from mutualformer.errors import UserError

_OURS = tuple(
    Path(str(package.__file__)).parent for package in (mutualformer, datamodules, lightning_modules)
)
_STANDARD_LIBRARY = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
# Encoders and decoders by name are theirs; what these refuse is a setting, whoever calls them.
NETWORK_LIBRARIES = frozenset({"timm", "segmentation_models_pytorch", "torchvision"})
# A network that took a sample before the trainer had it fails in its first step because of these.
_CHANGE_THE_COMPUTATION = ("precision", "sync_batchnorm", "strategy", "plugins")
_LONGEST = 500
_FILE_IN_TEXT = re.compile(r'^\s*File "(.+?)", line \d+', re.MULTILINE)


class FirstStep(Callback):
    """Know whether a step of the optimiser, or a batch of an evaluation, has been completed.

    Attributes:
        is_done: whether it has.
    """

    def __init__(self) -> None:
        self.is_done = False
        self._steps_before = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember how many steps a continued run has behind it."""
        self._steps_before = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Look whether the optimiser has made a step."""
        self.is_done = self.is_done or trainer.global_step > self._steps_before

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count a batch of an evaluation, but not one of those that come before a training."""
        self.is_done = self.is_done or not trainer.sanity_checking

    def on_test_batch_end(self, *_: Any) -> None:
        """Count a batch of an evaluation."""
        self.is_done = True

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]


class SettingsPhase:
    """Take what a library raises in the body of the `with` for its refusal of settings.

    Args:
        what: the setting, by its dotted name or class path, where the body has one only; a refusal
            that can be told to come from one of `given` or `parts` names that instead.
        given: the trainer's settings that the user gave, by name.
        parts: returns the callbacks, loggers and the like that the user gave, with their settings'
            names.
        is_over: whether the first step has been completed: from there on, only what one of `parts`
            itself raises is about settings.
        networks: whether the libraries of networks count as refusing when called by our code.

    Raises:
        UserError: instead of a library's exception.
    """

    def __init__(
        self,
        what: str,
        given: Mapping[str, Any] | None = None,
        parts: Callable[[], Iterable[tuple[str, object]]] = tuple,
        is_over: Callable[[], bool] = lambda: False,
        networks: bool = False,
    ) -> None:
        self._what = what
        self._given = given or {}
        self._parts = parts
        self._is_over = is_over
        self._networks = networks

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """Raise a `UserError` in the place of a library's refusal."""
        told = explain(error) is not None and not isinstance(error, MisconfigurationException)
        if told or not isinstance(error, Exception):
            return
        # The first frame is the body's own.
        files = [*_files(error, trace.tb_next if trace else None)]
        if (what := self._refused(str(error), files)) is None:
            return
        raise _refusal(what, error) from error

    def _refused(self, text: str, files: list[Path]) -> str | None:
        """Return the setting that was refused; None for a defect."""
        if not files or not _is_library(files[-1]):
            return None
        parts = [(name, part, _files_of(part)) for name, part in self._parts()]
        if self._is_over():
            raising = [name for name, _, own in parts if files[-1] in own]
            return raising[0] if raising else None
        last_own = max((i for i, file in enumerate(files) if not _is_library(file)), default=-1)
        # Lightning checks settings also where our code asks it for something.
        if last_own >= 0 and not _is_of(files[-1], frozenset({"lightning"})):
            if self._networks and any(_is_of(file, NETWORK_LIBRARIES) for file in files[last_own:]):
                return self._what
            changes = [name for name in _CHANGE_THE_COMPUTATION if self._given.get(name)]
            in_step = Path(base_module.__file__) in files
            return _flags(self._given, changes) if changes and in_step else None
        named = [name for name in self._given if _names(text, name)]
        named += [name for name, value in self._given.items() if f"'{value}'" in text]
        if named:
            return _flags(self._given, named[:1])
        asked = [name for file in reversed(files) for name, _, own in parts if file in own]
        return asked[0] if asked else self._what


@contextmanager
def refused_by_class(class_type: type) -> Iterator[None]:
    """Take what a class raises at its arguments for their refusal: a library's, or the user's own.

    Of the user's own, only what is raised by convention for an argument or a missing package; of
    ours, nothing.

    Raises:
        UserError: instead; names the class.
    """
    name = f"{class_type.__module__}.{class_type.__qualname__}"
    try:
        with SettingsPhase(name):
            yield
    except (ValueError, ImportError, MisconfigurationException) as error:
        if isinstance(error, UserError) or _lies_in(_raised_in(error), _OURS):
            raise
        raise _refusal(name, error) from error


@contextmanager
def failed_in_users_code(what: str) -> Iterator[None]:
    """Tell in a line what fails in code of the user's, where that is run only to measure it.

    Args:
        what: the setting that names the code.

    Raises:
        UserError: instead of an exception that passed through the user's code.
    """
    try:
        yield
    except Exception as error:
        files = _files(error, error.__traceback__)
        if explain(error) is None and not all(_is_library(x) or _lies_in(x, _OURS) for x in files):
            raise _refusal(what, error) from error
        raise


def given_to_trainer(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the trainer's settings that differ from its defaults."""
    defaults = inspect.signature(Trainer.__init__).parameters
    return {
        name: value
        for name, value in settings.items()
        if name in defaults and value != defaults[name].default
    }


def parts_of(trainer: Trainer) -> Iterator[tuple[str, object]]:
    """Yield the parts that a trainer was given, with the names of their settings."""
    parts = {
        "callbacks": trainer.callbacks,  # type: ignore[attr-defined]
        "logger": trainer.loggers,
        "profiler": [trainer.profiler],  # type: ignore[attr-defined]
        "plugins": [trainer.precision_plugin],
    }
    for setting, of_setting in parts.items():
        for part in of_setting:
            if not any(_lies_in(file, _OURS) for file in _files_of(part)):
                yield f"trainer.{setting} ({type(part).__name__})", part


def _refusal(what: str, error: Exception) -> UserError:
    chain: list[BaseException] = [error]
    while before := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(before)
    # A package that is missing explains what failed for want of it.
    told = next((one for one in reversed(chain) if isinstance(one, ImportError)), error)
    text = text_of(told, _LONGEST)
    if isinstance(told, ImportError) and told.name:
        text = f"{text}: install that package"
    return UserError(f"{what}: {text} (MUTUALFORMER_TRACEBACK=1 shows where)")


def _raised_in(error: Exception) -> Path:
    return [*_files(error, error.__traceback__)][-1]


def _flags(given: Mapping[str, Any], names: Iterable[str]) -> str:
    values = {name: given[name] for name in names}
    return ", ".join(
        f"trainer.{name} is {value}" if isinstance(value, str | int | float) else f"trainer.{name}"
        for name, value in values.items()
    )


def _names(text: str, setting: str) -> bool:
    """Tell whether a text names a setting; many names are ordinary words, too."""
    name = re.escape(setting)
    marked = rf"[`'\"(]{name}[`'\"=) ]|\b{name}=|--{name}\b"
    return re.search(rf"\b{name}\b" if "_" in setting else marked, text) is not None


def _files(error: BaseException, trace: TracebackType | None) -> Iterator[Path]:
    """Yield the files that an exception passed through, what it came from first, innermost last."""
    before = error.__cause__ or error.__context__
    if before is not None:
        yield from _files(before, before.__traceback__)
    for frame in traceback.extract_tb(trace):
        yield Path(frame.filename)
    # One of another process has that process' traceback in its text.
    for name in _FILE_IN_TEXT.findall(str(error)):
        yield Path(name)


def _files_of(part: object) -> set[Path]:
    """Return the files that a library's object is written in, without the base classes of all."""
    general = {object, Callback}
    classes = [x for x in type(part).__mro__ if x not in general and x.__module__ != "builtins"]
    files = set()
    for one in classes:
        try:
            files.add(Path(inspect.getfile(one)))
        except (OSError, TypeError):
            continue
    return files


def _is_library(file: Path) -> bool:
    if str(file).startswith("<"):  # of the interpreter, or made by a library out of classes
        return str(file).startswith(("<frozen", "<string>"))
    if _lies_in(file, _OURS):
        return False
    return bool({"site-packages", "dist-packages"} & {*file.parts}) or _lies_in(
        file, _STANDARD_LIBRARY
    )


def _is_of(file: Path, packages: frozenset[str]) -> bool:
    return _is_library(file) and not packages.isdisjoint(file.parts)


def _lies_in(file: Path, folders: Iterable[Path]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)
