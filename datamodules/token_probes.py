"""Probes: small tasks on two aligned grids of tokens, in which one property of a fusion decides.

A scene has chains of regions. Regions of a chain are similar to their neighbours in it alone; a
few depth tokens in the first region carry the label of the chain, and tokens of the last one are
asked for it. What each knob of `ProbeSettings` does to the two modalities is in its docstring.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mutualformer.errors import UserError

SPLITS = ("train", "val", "test")
NOT_ASKED = -1
"""Target of a token that is not asked for anything."""


@dataclass(frozen=True)
class ProbeSettings:
    """The knobs of a probe.

    With `a_i` independent standard normal vectors of width F, region j of a chain of c regions has
    the feature `u_j = (a_j + a_{j+1}) / √2` in RGB (`u_0 = a_0` for c = 1), so that neighbours have
    cosine ½ and all others 0, and in depth `v_j = cos(½ π γ) u_j + sin(½ π γ) w_j`, where γ is the
    gap and `w` is made like `u` of other vectors. A token has the feature of its region, less what
    the other knobs do to it, plus noise of standard deviation `noise`.

    Args:
        grid_size: side of the square grids; N = grid_size² tokens per modality.
        num_chains: chains of regions in a scene.
        chain_length: c, regions of a chain; the label has c − 1 borders to cross.
        num_labels: L, labels to choose from; chance is 1 / L.
        feature_dim: F.
        gap: γ in [0, 1]; at 0 a region looks the same in both modalities, at 1 they are unrelated.
        holes_rgb: share of tokens without a feature in RGB, in [0, 1).
        holes_depth: the same in depth; no token has neither.
        complementary: whether labels lie in holes of RGB alone, and questions in holes of depth
            alone, so that no single affinity joins them.
        misalignment: by how many tokens the depth grid is displaced, in a random direction.
        noise: standard deviation of the noise of every feature.
        num_hubs: tokens in each modality whose feature is the sum of those of all regions over
            their number's root, similar to everything.
        labelled_share: share of the tokens that may carry a label that do, in (0, 1]; at least one
            per chain.

    Raises:
        UserError: a knob is outside its range, or two contradict each other.
    """

    grid_size: int = 8
    num_chains: int = 6
    chain_length: int = 1
    num_labels: int = 2
    feature_dim: int = 16
    gap: float = 0.0
    holes_rgb: float = 0.0
    holes_depth: float = 0.0
    complementary: bool = False
    misalignment: int = 0
    noise: float = 0.1
    num_hubs: int = 0
    labelled_share: float = 0.3

    def __post_init__(self) -> None:
        least = {"num_labels": 2, "misalignment": 0, "num_hubs": 0, "noise": 0}
        for field in fields(self):
            value, low = getattr(self, field.name), least.get(field.name, 1)
            if field.type in (int, "int") and value < low:
                raise UserError(f"{field.name} is {value}, expected an integer >= {low}")
        for name, high in (("gap", "1]"), ("holes_rgb", "1)"), ("holes_depth", "1)")):
            value = getattr(self, name)
            if not 0 <= value <= 1 or (high == "1)" and value == 1):
                raise UserError(f"{name} is {value}, expected a number in [0, {high}")
        if self.noise < 0:
            raise UserError(f"noise is {self.noise}, expected a standard deviation >= 0")
        if not 0 < self.labelled_share <= 1:
            raise UserError(
                f"labelled_share is {self.labelled_share}, expected a number in (0, 1]: a label "
                "that no token shows cannot be told"
            )
        tokens, regions = self.grid_size**2, self.num_chains * self.chain_length
        if tokens < 4 * regions:
            raise UserError(
                f"{regions} regions (num_chains x chain_length) on {tokens} tokens, expected at "
                "least four tokens per region: raise grid_size"
            )
        if self.holes_rgb + self.holes_depth > 0.9:
            raise UserError(
                f"holes_rgb and holes_depth are {self.holes_rgb} and {self.holes_depth}, expected "
                "at most .9 together: they do not overlap, and some tokens must be in both"
            )
        if self.complementary and not (self.holes_rgb and self.holes_depth):
            raise UserError(
                "complementary is true with no holes in one modality, expected holes_rgb and "
                "holes_depth > 0: labels lie in the one and questions in the other"
            )
        if self.num_hubs >= tokens // 2 or self.misalignment >= self.grid_size:
            raise UserError(
                f"num_hubs is {self.num_hubs} and misalignment {self.misalignment}, expected fewer "
                f"hubs than {tokens // 2} and less than the grid's side {self.grid_size}"
            )

    @property
    def num_tokens(self) -> int:
        """N, tokens per modality."""
        return self.grid_size**2

    @property
    def depth_dim(self) -> int:
        """Channels of a depth token: its feature, and its label as one of L."""
        return self.feature_dim + self.num_labels


@dataclass(frozen=True)
class ProbeScene:
    """A scene: tokens in rows of the grid.

    Attributes:
        rgb: float32 `(N, F)`.
        depth: float32 `(N, F + L)`.
        target: int64 `(N,)`: the label to be told, or `NOT_ASKED`.
        region: int64 `(N,)`: region of each token of RGB, chain by chain.
    """

    rgb: NDArray[np.float32]
    depth: NDArray[np.float32]
    target: NDArray[np.int64]
    region: NDArray[np.int64]


def generate_probe(settings: ProbeSettings, seed: int, split: str, index: int) -> ProbeScene:
    """Make a scene; the same arguments give the same one.

    >>> scene = generate_probe(ProbeSettings(holes_depth=0.4), seed=0, split="train", index=0)
    >>> scene.rgb.shape, scene.depth.shape, scene.target.shape
    ((64, 16), (64, 18), (64,))
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), index))
    rng = np.random.default_rng(sequence)
    s = settings
    region = _regions(s, rng)
    chain, link = np.divmod(region, s.chain_length)
    features_rgb, features_depth = _features(s, rng)

    order = rng.permutation(s.num_tokens)
    num_rgb, num_depth = (round(share * s.num_tokens) for share in (s.holes_rgb, s.holes_depth))
    hole_rgb, hole_depth = np.zeros((2, s.num_tokens), bool)
    hole_rgb[order[:num_rgb]] = True
    hole_depth[order[num_rgb : num_rgb + num_depth]] = True

    may_carry = ~hole_depth & (link == 0)
    may_ask = hole_depth | (num_depth == 0)
    may_ask &= link == s.chain_length - 1
    if s.complementary:
        may_carry &= hole_rgb
    carries = may_carry & (rng.random(s.num_tokens) < s.labelled_share)
    for number in range(s.num_chains):  # one token at least
        of_chain = np.flatnonzero(may_carry & (chain == number))
        if len(of_chain) and not carries[of_chain].any():
            carries[rng.choice(of_chain)] = True
    told = np.isin(chain, chain[carries])
    label = rng.integers(0, s.num_labels, s.num_chains)
    target = np.where(may_ask & ~carries & told, label[chain], NOT_ASKED)

    rgb = features_rgb[region]
    depth = np.zeros((s.num_tokens, s.depth_dim))
    depth[:, : s.feature_dim] = features_depth[region]
    depth[np.flatnonzero(carries), s.feature_dim + label[chain[carries]]] = np.sqrt(s.feature_dim)
    for tokens, features in ((rgb, features_rgb), (depth, features_depth)):
        hubs = rng.choice(s.num_tokens, s.num_hubs, replace=False)
        tokens[hubs, : s.feature_dim] = features.sum(0) / np.sqrt(len(features))
        tokens[:, : s.feature_dim] += s.noise * rng.standard_normal(
            tokens[:, : s.feature_dim].shape
        )
    rgb[hole_rgb], depth[hole_depth] = 0, 0
    depth = _displace(s, depth, rng)
    return ProbeScene(rgb.astype(np.float32), depth.astype(np.float32), target, region)


def _regions(s: ProbeSettings, rng: np.random.Generator) -> NDArray[np.int64]:
    """Grow one region around each of as many random tokens, on a grid without borders."""
    num_regions = s.num_chains * s.chain_length
    places = np.stack(np.divmod(np.arange(s.num_tokens), s.grid_size), axis=1)
    centres = places[rng.choice(s.num_tokens, num_regions, replace=False)]
    away = np.abs(places[:, None] - centres)
    away = np.minimum(away, s.grid_size - away)
    return (away**2).sum(-1).argmin(1)


def _features(
    s: ProbeSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features of all regions in RGB and in depth."""

    def of_chains() -> NDArray[np.float64]:
        a = rng.standard_normal((s.num_chains, s.chain_length + 1, s.feature_dim))
        u = a[:, :1] if s.chain_length == 1 else (a[:, :-1] + a[:, 1:]) / np.sqrt(2)
        return u.reshape(-1, s.feature_dim)

    u, w = of_chains(), of_chains()
    return u, np.cos(np.pi / 2 * s.gap) * u + np.sin(np.pi / 2 * s.gap) * w


def _displace(
    s: ProbeSettings, tokens: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    if s.misalignment == 0:
        return tokens
    reach = range(-s.misalignment, s.misalignment + 1)
    shifts = [(y, x) for y in reach for x in reach if max(abs(y), abs(x)) == s.misalignment]
    grid = tokens.reshape(s.grid_size, s.grid_size, -1)
    return np.roll(grid, shifts[rng.integers(len(shifts))], (0, 1)).reshape(tokens.shape)
