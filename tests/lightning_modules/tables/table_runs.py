"""Runs of a small sweep, and the cells of the table made of them."""

import csv
import io
from pathlib import Path

from lightning_modules.main import main


def table(path: Path, *options: str) -> int:
    return main(["table", str(path), "--resamples", "200", *options])


def rows_of(path: Path, *options: str) -> list[dict[str, str]]:
    """Return the cells of a table as CSV."""
    output = path.parent / "table.csv"
    assert table(path, "--output", str(output), *options) in (0, 2)
    return list(csv.DictReader(io.StringIO(output.read_text())))


def cell(rows: list[dict[str, str]], metric: str, **labels: str) -> dict[str, str]:
    found = [
        row
        for row in rows
        if row["metric"] == metric and all(row[key] == value for key, value in labels.items())
    ]
    assert len(found) == 1
    return found[0]


def trial(path: Path, epsilon: str, seed: int) -> Path:
    return path.parent / "runs" / f"epsilon={epsilon},seed_everything={seed}"


def fill(path: Path, write_run) -> dict[tuple[str, int], dict]:
    """Write all four runs of the sweep; ε = 0.6 has less noise."""
    return {
        (epsilon, seed): write_run(trial(path, epsilon, seed), noise={"SET": noise}, seed=seed)[
            "SET"
        ]
        for epsilon, noise in (("0", 160), ("0.6", 110))
        for seed in (0, 1)
    }
