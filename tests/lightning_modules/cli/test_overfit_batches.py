"""`overfit_batches`: the same batches, augmented alike, in every epoch."""

from pathlib import Path

import pytest
import torch
from small_fit import fit

from lightning_modules import SaliencyModule


def test_overfitting_has_the_same_batches_in_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], float]] = []
    compute_loss = SaliencyModule.compute_loss

    def record(self: SaliencyModule, batch: dict) -> torch.Tensor:
        if self.training:
            seen.append((batch["name"], float(batch["rgb"].sum() + batch["depth"].sum())))
        return compute_loss(self, batch)

    monkeypatch.setattr(SaliencyModule, "compute_loss", record)
    for options in (["--trainer.overfit_batches=2"], ["--trainer.overfit_batches=0.7"]):
        seen.clear()
        more = ["--trainer.max_epochs=3", "--data.num_val=3", "--data.eval_batch_size=1"]
        assert fit(tmp_path / options[0][-1], *more, *options) == 0
        assert len(seen) == 6 and seen[:2] == seen[2:4] == seen[4:]
        assert seen[0] != seen[1]
