"""TokenFusion: its formulas token by token, its term of the loss, its size."""

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from literal_fusion import check_against, count, layer_norm, linear
from torch import Tensor, nn

from lightning_modules import SaliencyModule
from mutualformer import MutualFormerNetwork
from mutualformer.fusions import TokenExchange
from mutualformer.fusions.spelling import read_fusion


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + (x / 2**0.5).erf())


def score(net: nn.Sequential, tokens: Tensor) -> Tensor:
    hidden = layer_norm(net[0], tokens)
    for layer in (net[1], net[3], net[5]):
        hidden = gelu(linear(layer, hidden))
    logits = linear(net[7], hidden).exp()
    return logits[..., 0] / logits.sum(-1)


def attend(fusion: TokenExchange, norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    qkv, dim = fusion.attention.qkv, tokens.shape[-1]
    query, key, value = linear(qkv.projection, layer_norm(norm, tokens)).split(dim, -1)
    width = dim // qkv.num_heads
    heads = []
    for begin in range(0, dim, width):
        head = slice(begin, begin + width)
        logits = torch.einsum("bnc,bmc->bnm", query[..., head], key[..., head]) / width**0.5
        weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
        heads.append(torch.einsum("bnm,bmc->bnc", weights, value[..., head]))
    return linear(fusion.projection, torch.cat(heads, -1))


def literal(fusion: TokenExchange, rgb: Tensor, depth: Tensor, grid: tuple[int, int]) -> Tensor:
    scores = (score(fusion.score_rgb, rgb), score(fusion.score_depth, depth))
    assert all(0 < (s < 0.02).double().mean() < 1 for s in scores)  # some go, some stay
    branches = [
        s[..., None] * attend(fusion, norm, x)
        for s, norm, x in (
            (scores[0], fusion.norm_attention_rgb, rgb),
            (scores[1], fusion.norm_attention_depth, depth),
        )
    ]
    rewritten = []
    for index, (stream, norm) in enumerate(((rgb, fusion.norm_rgb), (depth, fusion.norm_depth))):
        samples = []
        for b in range(len(stream)):
            taken = [
                branches[index if scores[index][b, n] >= 0.02 else 1 - index][b, n]
                for n in range(stream.shape[1])
            ]
            samples.append(torch.stack(taken))
        stream = stream + torch.stack(samples)
        hidden = gelu(linear(fusion.feed_forward[0], layer_norm(norm, stream)))
        rewritten.append(stream + linear(fusion.feed_forward[3], hidden))
    return (rewritten[0] + rewritten[1]) / 2


@pytest.mark.parametrize("num_heads", [1, 2])
def test_equals_its_formulas(num_heads: int) -> None:
    # Large weights make scores that lie on both sides of the threshold.
    check_against(TokenExchange(20, num_heads=num_heads, mlp_ratio=1), literal, 20, scale=1.0)


def test_the_term_of_the_loss_is_the_sum_of_the_scores() -> None:
    fusion = TokenExchange(8, sparsity=0.25).double()
    rgb, depth = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    assert fusion.auxiliary_loss() == 0
    fusion(rgb, depth)
    expected = 0.25 * (score(fusion.score_rgb, rgb).sum() + score(fusion.score_depth, depth).sum())
    torch.testing.assert_close(fusion.auxiliary_loss(), expected)
    assert fusion.auxiliary_loss() == 0  # once
    fusion.eval()(rgb, depth)
    assert fusion.auxiliary_loss() == 0


def test_the_term_makes_tokens_go() -> None:
    torch.manual_seed(0)
    fusion = TokenExchange(8, sparsity=1.0)
    rgb, depth = torch.randn(2, 3, 6, 8)
    optimizer = torch.optim.Adam(fusion.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        fusion(rgb, depth)
        fusion.auxiliary_loss().backward()
        optimizer.step()
    assert (score(fusion.score_rgb, rgb) < 0.02).all()


def test_training_adds_the_term_of_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss_and_gradient(sparsity: float) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        fusion = read_fusion({"name": "token_exchange", "sparsity": sparsity})
        network = MutualFormerNetwork(
            "resnet18", fusion=fusion, fusion_dim=8, fusion_strides=(16, 32), decoder_dim=32
        )
        module = SaliencyModule(network, loss="bce")
        module.trainer = SimpleNamespace(strategy=SimpleNamespace(reduce_boolean_decision=bool))
        monkeypatch.setattr(module, "log", lambda *_, **__: None)
        batch = {
            "rgb": torch.rand(2, 3, 64, 64),
            "depth": torch.rand(2, 1, 64, 64),
            "mask": torch.ones(2, 1, 64, 64),
            "name": ["a", "b"],
        }
        loss = module.train().training_step(batch, 0)
        loss.backward()
        last = [block.score_rgb[-1].bias.grad for block in network.blocks.values()]
        return loss.detach(), torch.stack(last)

    without, gradient_without = loss_and_gradient(0.0)
    with_term, gradient = loss_and_gradient(1.0)
    # Scores of 2 · 2 · (16 + 4) tokens are near ½ at the beginning.
    assert 20 < with_term - without < 60
    assert (gradient - gradient_without).abs().min() > 0.1


def test_a_fusion_can_be_copied_in_the_middle_of_a_step() -> None:
    fusion = TokenExchange(8)
    fusion(*torch.randn(2, 1, 6, 8))
    for other in (copy.deepcopy(fusion), pickle.loads(pickle.dumps(fusion))):
        assert other.auxiliary_loss() == 0
    assert fusion.auxiliary_loss() > 0


@pytest.mark.parametrize(
    ("dim", "scores"), [(64, 13_860), (128, 54_340), (256, 215_172), (512, 856_324)]
)
def test_has_the_parameters_of_its_source(dim: int, scores: int) -> None:
    fusion = TokenExchange(dim)
    assert count(fusion.score_rgb) + count(fusion.score_depth) == scores
    assert count(fusion) - scores == 12 * dim**2 + 17 * dim


@pytest.mark.parametrize(
    ("dim", "options", "words"),
    [
        (3, {"num_heads": 1}, "dim is 3, expected by TokenFusion at least 4"),
        (8, {"num_heads": 3}, "dim is 8 and num_heads is 3"),
        (8, {"sparsity": -1.0}, "sparsity is -1.0, expected a number >= 0"),
        (8, {"mlp_ratio": 0}, "mlp_ratio is 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(dim: int, options: dict, words: str) -> None:
    with pytest.raises(ValueError) as error:
        TokenExchange(dim, **options)
    assert words in str(error.value)
