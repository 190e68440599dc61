"""The block: what it computes, what its options do, what it refuses."""

import pytest
import torch
import torch.nn.functional as F

from mutualformer import MutualFormerBlock, cross_diffusion


def tokens(num_tokens: int = 12, dim: int = 16, dtype: torch.dtype = torch.float64) -> tuple:
    return torch.randn(2, num_tokens, dim, dtype=dtype), torch.randn(
        2, num_tokens, dim, dtype=dtype
    )


def test_output_equals_the_paper_s_formulas() -> None:
    block = MutualFormerBlock(16, 4, epsilon=0.4, num_iterations=2).double()
    rgb, depth = tokens()
    mixing = block.mixing

    def heads(projection: torch.nn.Linear, x: torch.Tensor) -> list[torch.Tensor]:
        # Q, K and V lie one after the other along the features, heads inside.
        return [
            part.reshape(2, 12, 4, 4).permute(0, 2, 1, 3) for part in projection(x).split(16, -1)
        ]

    attended = cross_diffusion(
        *heads(mixing.attention.qkv_rgb.projection, mixing.norm_rgb(rgb)),
        *heads(mixing.attention.qkv_depth.projection, mixing.norm_depth(depth)),
        epsilon=0.4,
        num_iterations=2,
    )
    m_r, m_d, m_rd, m_dr = (x.permute(0, 2, 1, 3).reshape(2, 12, 16) for x in attended)

    def convolve(layer: torch.nn.Module, *streams: torch.Tensor) -> torch.Tensor:
        kernel = layer.convolution
        return F.linear(torch.cat(streams, -1), kernel.weight[:, :, 0, 0], kernel.bias)

    h_r, h_d = convolve(mixing.f_rgb, m_r, m_rd), convolve(mixing.f_depth, m_d, m_dr)
    fused = convolve(mixing.join.g, h_r, h_d) + convolve(mixing.join.h, rgb, depth)
    first, _, _, second, _ = block.feed_forward
    expected = fused + second(F.gelu(first(block.norm(fused))))
    torch.testing.assert_close(block(rgb, depth), expected)


def test_gradients_reach_every_parameter_and_are_exact() -> None:
    block = MutualFormerBlock(4, 2, mlp_ratio=1, num_iterations=2).double()
    rgb, depth = tokens(3, 4)
    assert torch.autograd.gradcheck(block, (rgb.requires_grad_(), depth.requires_grad_()))
    block(rgb, depth).square().sum().backward()
    without = [name for name, p in block.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_modalities_have_their_own_weights() -> None:
    block = MutualFormerBlock(16, 4).double()
    rgb, depth = tokens()
    assert not torch.allclose(block(rgb, depth), block(depth, rgb))


@pytest.mark.parametrize("num_iterations", [0, 1, 3])
def test_iterations_reach_the_block(num_iterations: int) -> None:
    torch.manual_seed(3)
    block = MutualFormerBlock(16, 4, num_iterations=num_iterations).double()
    torch.manual_seed(3)
    other = MutualFormerBlock(16, 4, num_iterations=num_iterations + 1).double()
    rgb, depth = tokens()
    assert not torch.allclose(block(rgb, depth), other(rgb, depth), atol=1e-6)


def test_a_larger_kernel_sees_the_neighbours_on_the_grid() -> None:
    block = MutualFormerBlock(8, 2, kernel_size=3)
    rgb, depth = tokens(12, 8, torch.float32)
    assert block(rgb, depth, (3, 4)).shape == (2, 12, 8)
    assert not torch.allclose(block(rgb, depth, (3, 4)), block(rgb, depth, (4, 3)))
    with pytest.raises(ValueError, match="spatial_size is None for 12 tokens"):
        block(rgb, depth)
    with pytest.raises(ValueError, match=r"spatial_size is \(5, 2\) for 12 tokens"):
        block(rgb, depth, (5, 2))


@pytest.mark.parametrize("variant", ["paper", "release"])
def test_dropout_and_stochastic_depth_act_in_training_only(variant: str) -> None:
    block = MutualFormerBlock(16, 4, variant=variant, dropout=0.3, drop_path=0.3).double()
    rgb, depth = tokens()
    assert not torch.equal(block(rgb, depth), block(rgb, depth))
    block.eval()
    assert torch.equal(block(rgb, depth), block(rgb, depth))


def test_stochastic_depth_leaves_the_residual_path() -> None:
    block = MutualFormerBlock(16, 4, drop_path=1 - 1e-9).double()
    rgb, depth = tokens()
    torch.testing.assert_close(block(rgb, depth), block.mixing.join.h(rgb, depth))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 30}, "dim is 30 and num_heads is 4"),
        ({"num_heads": 0}, "num_heads is 0"),
        ({"epsilon": 1.2}, "epsilon is 1.2"),
        ({"num_iterations": -2}, "num_iterations is -2"),
        ({"variant": "v2"}, "variant is 'v2'"),
        ({"kernel_size": 2}, "kernel_size is 2"),
        ({"mlp_ratio": 0}, "mlp_ratio is 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, words: str) -> None:
    arguments = {"dim": 32, "num_heads": 4, **options}
    with pytest.raises(ValueError) as error:
        MutualFormerBlock(arguments.pop("dim"), arguments.pop("num_heads"), **arguments)
    assert words in str(error.value)


def test_streams_that_do_not_fit_are_refused() -> None:
    block = MutualFormerBlock(16, 4)
    with pytest.raises(ValueError, match=r"tokens_rgb is \(2, 12, 16\).*\(2, 11, 16\)"):
        block(torch.zeros(2, 12, 16), torch.zeros(2, 11, 16))
    with pytest.raises(ValueError, match="only variant='release'"):
        block(torch.zeros(2, 12, 16), torch.zeros(2, 12, 16), tokens_fused=torch.zeros(2, 12, 16))
