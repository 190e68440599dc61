"""Ask git about the working tree that this package lies in."""

import subprocess
from pathlib import Path


def git_output(*arguments: str) -> bytes | None:
    """Return what a git command prints; None if it fails, as outside a repository."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
