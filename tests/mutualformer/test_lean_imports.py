"""The operation, the block and the other fusions need torch and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ["segmentation_models_pytorch", "timm", "torchvision", "huggingface_hub", "safetensors"]


@pytest.mark.parametrize(
    "statement",
    [
        "import mutualformer",
        "from mutualformer import MutualFormerBlock, cross_diffusion, regularized_diffusion",
        "import mutualformer.losses; from mutualformer.fusions import *",
    ],
)
def test_the_core_loads_torch_alone(statement: str) -> None:
    program = (
        "import sys, torch\n"
        "import torch.utils.flop_counter\n"  # to which our count is added
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    loaded, heavy = result.stdout.splitlines()
    assert loaded == "mutualformer"
    assert heavy == ""
