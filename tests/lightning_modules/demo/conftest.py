"""An exported network, loaded once."""

from pathlib import Path

import pytest
from exports import write_export

from lightning_modules.demo.exported_model import ExportedModel


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an untrained network for saliency."""
    return write_export(tmp_path_factory.mktemp("saliency") / "export")


@pytest.fixture(scope="module")
def model(export: Path) -> ExportedModel:
    """Return it loaded."""
    return ExportedModel(export)
