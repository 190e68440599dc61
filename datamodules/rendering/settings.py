"""The knobs of rendered scenes."""

from dataclasses import dataclass, fields

from datamodules.image_size import ImageSize, height_and_width
from mutualformer.errors import UserError

SPLITS = ("train", "test")


@dataclass(frozen=True)
class RenderSettings:
    """What is rendered; `docs/rendered.md` has the formulas.

    Args:
        image_size: in pixels, at least 32: the side of a square, or `(height, width)`.
        seed: of all scenes, at least 0.
        num_distractors: pictures on the ground, and as many objects in the ground's colour; at
            least 1, or else one modality would do.
        likeness: ℓ in [0, 1), how far distractors are on the way to the salient object in the
            modality that gives them away: relief of a picture, colour of an object.
        gap: γ in [0, 1]: at 0 the pattern on a surface is its height, at 1 they are unrelated.
        holes_rgb: share of every object and picture that is dark in RGB, in [0, 1).
        holes_depth: share without a reading in depth, in [0, 1); no pixel has both.
        misalignment: by how many pixels depth is displaced, in a random direction.
        noise: standard deviation of the noise of RGB in [0, 1], and of depth in units of its range;
            above 0, edges of depth bleed, and near things have shadows without a reading.

    Raises:
        UserError: a knob is outside its range, or two contradict each other.
    """

    image_size: ImageSize = 128
    seed: int = 0
    num_distractors: int = 2
    likeness: float = 0.25
    gap: float = 1.0
    holes_rgb: float = 0.4
    holes_depth: float = 0.4
    misalignment: int = 0
    noise: float = 0.02

    def __post_init__(self) -> None:
        size = height_and_width(self.image_size)
        object.__setattr__(self, "image_size", size)
        for field in fields(self):
            value, low = getattr(self, field.name), int(field.name == "num_distractors")
            if field.type in (int, "int") and value < low:
                raise UserError(f"{field.name} is {value}, expected an integer >= {low}")
        if self.num_distractors > 5:
            raise UserError(
                f"num_distractors is {self.num_distractors}, expected at most 5: there are as many "
                "pictures and as many objects, and no more find room on the ground"
            )
        shares = {"gap": "1]", "likeness": "1)", "holes_rgb": "1)", "holes_depth": "1)"}
        for name, high in shares.items():
            value = getattr(self, name)
            if not 0 <= value <= 1 or (high == "1)" and value == 1):
                raise UserError(f"{name} is {value}, expected a number in [0, {high}")
        if not 0 <= self.noise <= 0.5:
            raise UserError(f"noise is {self.noise}, expected a standard deviation in [0, 0.5]")
        if self.holes_rgb + self.holes_depth > 0.9:
            raise UserError(
                f"holes_rgb and holes_depth are {self.holes_rgb} and {self.holes_depth}, expected "
                "at most .9 together: they do not overlap, and some pixels must be in both"
            )
        if self.misalignment >= min(size) // 4:
            raise UserError(
                f"misalignment is {self.misalignment}, expected less than {min(size) // 4}, a "
                "quarter of the smaller side"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return height_and_width(self.image_size)
