"""Draw the learning curves of a training run."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_info

from datamodules.files import write_if_possible
from lightning_modules.base_module import BaseModule
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.score import Score
from lightning_modules.tracking import send_picture

Curves = dict[str, list[tuple[int, float]]]

_LOSS = "Training loss"
_MOST_STEPS = 2**53  # what a figure can place
_WINDOW = 11  # logged steps that the smooth curve of the loss averages


class LearningCurves(Callback):
    """Log the learning rate, and write ``learning_curves.png`` at the end of ``fit``.

    The figure shows training loss, the module's main scores and learning rate over training steps,
    as the CSV files of the run say, those of earlier parts of a resumed run included. It lies in
    the run's folder (``trainer.default_root_dir``). A run that logs no CSV has none.
    """

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *_: Any
    ) -> None:
        """Log the learning rate of the first parameter group."""
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        pl_module.log("train/learning_rate", rate, on_step=True, on_epoch=False)

    def on_fit_end(self, trainer: Trainer, pl_module: BaseModule) -> None:  # type: ignore[override]
        """Draw what the CSV files hold."""
        loggers = [x for x in trainer.loggers if isinstance(x, CSVLogger)]
        if not loggers or not trainer.is_global_zero:
            return
        loggers[0].save()  # it keeps the last lines in memory
        curves = read_curves(Path(loggers[0].root_dir))
        picture = draw_learning_curves(curves, pl_module.scores)
        if picture is None:
            return
        path = RunFolder(trainer.default_root_dir).learning_curves
        if write_if_possible(path, picture):
            rank_zero_info(f"Learning curves: {path}")
            send_picture(trainer, "learning_curves", path)


def read_curves(folder: Path) -> Curves:
    """Read the CSV files of a run and of those it resumed.

    Args:
        folder: holds ``version_0/metrics.csv``, ``version_1/metrics.csv`` and so on. What a later
            file says of a value at a step replaces what earlier ones say of it there and at all
            further steps.

    Returns:
        (step, value) pairs by name, in the order of steps. Lines that cannot be read, such as one
        cut by a kill or a full disk, are left out: a figure is no reason to end a run.
    """
    curves: Curves = {}
    paths = [path for path in folder.glob("version_*/metrics.csv") if _version(path) >= 0]
    for path in sorted(paths, key=_version):
        part: Curves = {}
        for name, step, value in _read_points(path):
            part.setdefault(name, []).append((step, value))
        if not part:
            continue
        # A validation may have been repeated after the last training step had been logged, which
        # then is in the earlier file only.
        begin = min(points[0][0] for points in part.values()) + 1
        for name in {*curves, *part}:
            first = part[name][0][0] if name in part else begin
            kept = [point for point in curves.get(name, []) if point[0] < first]
            curves[name] = kept + part.get(name, [])
    return {name: points for name, points in sorted(curves.items()) if points}


def draw_learning_curves(
    curves: Mapping[str, list[tuple[int, float]]], scores: Sequence[Score]
) -> bytes | None:
    """Draw loss, main scores and learning rate side by side as `.png`; leave out what is not known.

    Scores of which higher values are better share a panel, the others have one each. A long curve
    of the loss is drawn faintly, with its moving average. None if there is nothing to draw.
    """
    # Matplotlib takes a second to import. Figure, not pyplot, which keeps figures.
    from matplotlib.figure import Figure

    on_held_out = "on held-out training data"
    panels = {_LOSS: {"loss": curves.get("train/loss")}}
    for score in (score for score in scores if score.main):
        title = f"{'Scores' if score.higher_is_better else score.heading} {on_held_out}"
        of_panel = panels.setdefault(title, {})
        of_panel[score.heading] = curves.get(f"val/held_out/{score.name}")
    panels["Learning rate"] = {"rate": curves.get("train/learning_rate")}
    known = {
        title: {label: points for label, points in lines.items() if points}
        for title, lines in panels.items()
        if any(lines.values())
    }
    if not known:
        return None
    figure = Figure(figsize=(3.6 * len(known), 3.1), layout="constrained")
    row = figure.subplots(1, len(known), squeeze=False)[0]
    for axes, (title, lines) in zip(row, known.items(), strict=True):
        for label, points in lines.items():
            steps, values = (np.array(column) for column in zip(*points, strict=True))
            few = len(points) < 30
            axes.plot(steps, values, "o-" if few else "-", ms=3, label=label, lw=1.4)
            if title == _LOSS and not few:
                axes.lines[0].set(alpha=0.35, lw=0.8)
                middle = slice(_WINDOW // 2, len(values) - _WINDOW // 2)
                smooth = np.convolve(values, np.full(_WINDOW, 1 / _WINDOW), mode="valid")
                axes.plot(steps[middle], smooth, color=axes.lines[0].get_color(), lw=1.6)
        if len(lines) > 1:
            axes.legend(fontsize=8, frameon=False)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("Step")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def _read_points(path: Path) -> Iterator[tuple[str, int, float]]:
    with path.open(newline="", errors="replace") as file:
        rows = csv.DictReader(file)
        while True:
            try:
                row = next(rows)
                if None in row or None in row.values():
                    continue
                step = int(row["step"])
                values = {name: float(text) for name, text in row.items() if text}
            except StopIteration:
                return
            except (csv.Error, KeyError, TypeError, ValueError):
                continue
            if 0 <= step < _MOST_STEPS:
                for name, value in values.items():
                    if name not in ("step", "epoch"):
                        yield name, step, value


def _version(path: Path) -> int:
    number = path.parent.name.removeprefix("version_")
    return int(number) if number.isdecimal() else -1
