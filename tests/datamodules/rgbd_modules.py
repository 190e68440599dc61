"""Data modules over folders that the tests make."""

from datamodules import RGBDSaliencyDataModule

STEMS = tuple(f"image_{number:02d}" for number in range(40))


def module_for(folders, **arguments):
    return RGBDSaliencyDataModule(
        **{"root": str(folders.root), "image_size": 32, "num_workers": 0, "batch_size": 2}
        | arguments
    )


def set_up(folders, stage, **arguments):
    module = module_for(folders, **arguments)
    module.setup(stage)
    return module


def items_of(dataset):
    return [dataset[index] for index in range(len(dataset))]


def names_of(dataset):
    return {sample.name for sample in dataset.samples}
