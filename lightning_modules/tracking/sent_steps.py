"""What a tracked run has sent of its curves, so that a continued one sends nothing twice."""

import json
from collections.abc import Mapping
from pathlib import Path

from datamodules.files import write_if_possible

# Repeated as often as a command is: its later scores are news.
_OF_EVALUATIONS = "test/"


class SentSteps:
    """The last step of which each value was sent, kept in a file beside the run.

    A run that was killed continues from a checkpoint, and repeats to the bit what it did after it.

    Args:
        path: of the file; made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            known = json.loads(path.read_text())
            self._last = {str(name): int(step) for name, step in known.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            self._last = {}  # there is none, or it was cut

    @property
    def latest(self) -> int:
        """The latest step of which anything was sent."""
        return max(self._last.values(), default=0)

    def select_new(self, metrics: Mapping[str, float], step: int) -> dict[str, float]:
        """Return those of the values that have not been sent of this step, nor of a later one."""
        return {
            name: value
            for name, value in metrics.items()
            if name.startswith(_OF_EVALUATIONS) or step > self._last.get(name, -1)
        }

    def note(self, names: Mapping[str, float], step: int) -> None:
        """Keep that values were sent."""
        self._last.update(dict.fromkeys(names, step))
        write_if_possible(self._path, json.dumps(self._last).encode())
