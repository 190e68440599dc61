"""What the modality beside RGB is called in pictures."""

from lightning.pytorch import Trainer


def second_modality(trainer: Trainer) -> str:
    """Return what the data module says it is (`thermal`, `NIR`), or `depth` if it says nothing."""
    return shown_as(getattr(getattr(trainer, "datamodule", None), "second_modality", "depth"))


def shown_as(name: str) -> str:
    """Return what a second modality is called in text, by its name in settings.

    >>> shown_as("nir"), shown_as("thermal")
    ('NIR', 'thermal')
    """
    return {"nir": "NIR", "hha": "HHA", "lidar": "LiDAR"}.get(name, name)


def as_heading(modality: str) -> str:
    """Begin with a capital and leave the others.

    >>> as_heading("depth"), as_heading("NIR")
    ('Depth', 'NIR')
    """
    return modality[0].upper() + modality[1:]
