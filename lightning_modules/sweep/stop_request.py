"""Notice that somebody asks this process to stop, at a moment of its own choosing."""

import signal

from lightning_modules.runs.slurm import STOP_SIGNALS


class StopRequest:
    """Within this context, SIGINT and what Slurm sends are noted instead of ending the process.

    So a training is never started and then forgotten.

    Attributes:
        signum: the first signal that came; None before.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    def __enter__(self) -> "StopRequest":
        self._before = {
            signum: signal.signal(signum, self._note) for signum in (signal.SIGINT, *STOP_SIGNALS)
        }
        return self

    def __exit__(self, *_error: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    @property
    def exit_code(self) -> int:
        """The exit code of a process that a signal ended, as shells count it."""
        return 128 + (self.signum or 0)

    def _note(self, signum: int, _frame: object) -> None:
        self.signum = self.signum or signum
