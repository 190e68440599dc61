"""A network whose training draws no random numbers; named by test_two_processes.py."""

from torch import nn

from mutualformer import MutualFormerNetwork


class NetworkWithoutChance(MutualFormerNetwork):
    """Dropout is off, and the encoder should have no batch statistics."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for module in self.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.p = 0.0
            assert not isinstance(module, nn.BatchNorm2d)
