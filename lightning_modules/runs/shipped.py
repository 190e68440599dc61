"""Experiments, sweeps and tables that come with the package are found by name, from any folder."""

import os
from pathlib import Path

# In a clone a link to the folder beside the packages, in a wheel the files themselves.
SHIPPED = Path(__file__).resolve().parents[1] / "experiments"


def find_shipped(path: Path, folder: str = "") -> Path:
    """Return a file that is here, else the one of this name that comes with the package.

    Args:
        path: as it was typed: `synthetic_cpu`, `overlays/quick`, `experiments/synthetic_cpu.yaml`.
        folder: of the shipped experiments, in which a name is looked for first.

    Returns:
        the path as it was, where there is neither.

    >>> find_shipped(Path("epsilon"), "tables").relative_to(SHIPPED).as_posix()
    'tables/epsilon.yaml'
    >>> find_shipped(Path("my_own.yaml")).as_posix()
    'my_own.yaml'
    """
    if path.is_absolute() or ".." in path.parts or os.path.exists(path):
        return path
    places = [SHIPPED / folder / path, SHIPPED / path]
    if path.parts[:1] == ("experiments",):
        places = [SHIPPED / path.relative_to("experiments")]
    for place in places:
        for candidate in (place, place.with_name(f"{place.name}.yaml")):
            if os.path.isfile(candidate):
                return candidate
    return path


def portable_name(path: Path) -> Path:
    """Return what finds a shipped file on any machine; of other files the path as it was.

    >>> portable_name(SHIPPED / "results" / "epsilon.jsonl").as_posix()
    'experiments/results/epsilon.jsonl'
    >>> portable_name(Path("results/epsilon.jsonl")).as_posix()
    'results/epsilon.jsonl'
    """
    home, place = SHIPPED.resolve(), path.resolve()
    return "experiments" / place.relative_to(home) if home in place.parents else path


def is_installed_copy(path: Path) -> bool:
    """Return whether a file is one of an installed package, where nothing is to be written."""
    return SHIPPED in path.absolute().parents and not SHIPPED.is_symlink()
