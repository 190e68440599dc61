"""The tasks of this project, to the rooms that serve all of them; one file for each."""

from lightning_modules.tasks.saliency import Saliency
from lightning_modules.tasks.segmentation import Segmentation
from lightning_modules.tasks.task import Task

TASKS: dict[str, Task] = {"saliency": Saliency(), "segmentation": Segmentation()}
"""By the name that `evaluate --task` takes. The first one is meant where nothing says which."""
