"""Damaged files and folders, one kind at a time, through data check and the data module.

Each ends in a message that names the file and the remedy, or is handled; none in a traceback, a
wait or a silent skip.
"""

import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError, RGBDSaliencyDataModule
from datamodules.check import check_root


class Case(NamedTuple):
    """A kind of damage to the data set `mine` with the samples a, b and c.

    Attributes:
        damage: Does it, given the folder and pytest's monkeypatch.
        check: Pattern of a finding of data check; `None` if there is nothing to find.
        is_error: Whether that finding is an error.
        module: Pattern of the data module's error, or `None` if it reads all three samples.
    """

    damage: Callable[..., None]
    check: str | None
    is_error: bool
    module: str | None


CASES: dict[str, Case] = {}
SAME = "the pattern of data check"


def case(
    name: str,
    check: str | None,
    *,
    module: str | None = SAME,
    is_error: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(damage: Callable[..., None]) -> Callable[..., None]:
        assert name not in CASES
        CASES[name] = Case(damage, check, is_error, check if module == SAME else module)
        return damage

    return register


def truncate(path: Path, fraction: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])


def rewrite(path: Path, change: Callable[[Image.Image], Image.Image], **options: object) -> None:
    with Image.open(path) as image:
        image.load()
        changed = change(image)
    changed.save(path, **options)


def save(path: Path, values: np.ndarray, **options: object) -> None:
    Image.fromarray(values).save(path, **options)


def png_header(path: Path, width: int, height: int) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data)
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


# Files that cannot be decoded


@case("truncated JPEG", r"RGB/b.jpg: cannot be read as an image .*: replace the file")
def _(folder, _monkeypatch):
    truncate(folder / "RGB" / "b.jpg")


@case("truncated PNG", r"depth/b.png: cannot be read as an image .*: replace the file")
def _(folder, _monkeypatch):
    truncate(folder / "depth" / "b.png", 0.7)


@case("truncated BMP", r"depth/b.bmp: cannot be read as an image")
def _(folder, _monkeypatch):
    save(folder / "depth" / "b.bmp", np.arange(48 * 64, dtype=np.uint8).reshape(48, 64))
    (folder / "depth" / "b.png").unlink()
    truncate(folder / "depth" / "b.bmp")


@case("truncated TIFF", r"depth/b.tif: cannot be read as an image")
def _(folder, _monkeypatch):
    save(folder / "depth" / "b.tif", np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))
    (folder / "depth" / "b.png").unlink()
    truncate(folder / "depth" / "b.tif")


@case("zero bytes", r"GT/b.png: cannot be read as an image \(the file is empty\): replace")
def _(folder, _monkeypatch):
    (folder / "GT" / "b.png").write_bytes(b"")


@case("header alone", r"RGB/b.jpg: cannot be read as an image")
def _(folder, _monkeypatch):
    truncate(folder / "RGB" / "b.jpg", 0.02)


@case("bad checksum", r"GT/b.png: cannot be read as an image")
def _(folder, _monkeypatch):
    path = folder / "GT" / "b.png"
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 4] ^= 0xFF
    path.write_bytes(content)


@case(
    "text under the name of an image", r"b.png: cannot be read .*\(no image format that is known\)"
)
def _(folder, _monkeypatch):
    (folder / "depth" / "b.png").write_text("depth")


@case("web page of a failed download", r"b.jpg: cannot be read .*a web page: the download failed")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").write_text("<!DOCTYPE html><title>Quota exceeded</title>")


@case("pointer of Git LFS", r"b.jpg: cannot be read .*Git LFS pointer: run git lfs pull")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )


@case("header bomb of 20 000 × 20 000", r"b.png: cannot be read .*too large an image.*: replace")
def _(folder, _monkeypatch):
    png_header(folder / "GT" / "b.png", 20_000, 20_000)


@case("10 000 × 10 000 pixels", r"b.png: 10000 × 10000 pixels .* expected at most .*: shrink it")
def _(folder, _monkeypatch):
    png_header(folder / "GT" / "b.png", 10_000, 10_000)


# Images of a form that is not meant


@case("animated PNG", r"RGB/b.png: holds 2 images .* expected one: save the right one")
def _(folder, _monkeypatch):
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    (folder / "RGB" / "b.jpg").unlink()
    frames[0].save(folder / "RGB" / "b.png", save_all=True, append_images=frames[1:])


@case("animated GIF under the name of a PNG", r"depth/b.png: holds 2 images")
def _(folder, _monkeypatch):
    frames = [Image.new("L", (64, 48), value) for value in (10, 200)]
    path = folder / "depth" / "b.png"
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


@case("TIFF of several pages", r"depth/b.tif: holds 2 images")
def _(folder, _monkeypatch):
    (folder / "depth" / "b.png").unlink()
    pages = [Image.new("L", (64, 48), value) for value in (10, 200)]
    pages[0].save(folder / "depth" / "b.tif", save_all=True, append_images=pages[1:])


@case(
    "GIF",
    r"missing in depth/ \(b, but b.gif is not of an accepted format\).*: add the missing",
)
def _(folder, _monkeypatch):
    rewrite(folder / "depth" / "b.png", lambda image: image, format="GIF")
    (folder / "depth" / "b.png").rename(folder / "depth" / "b.gif")


@case("wrong extension", r"b.jpg: holds PNG under the name of another", module=None, is_error=False)
def _(folder, _monkeypatch):
    rewrite(folder / "RGB" / "b.jpg", lambda image: image, format="PNG")


@case("CMYK JPEG", None, module=None, is_error=False)
def _(folder, _monkeypatch):
    rewrite(folder / "RGB" / "b.jpg", lambda image: image.convert("CMYK"))


@case("palette image", r"b.jpg: holds PNG", module=None, is_error=False)
def _(folder, _monkeypatch):
    rewrite(folder / "RGB" / "b.jpg", lambda image: image.quantize(64), format="PNG")


@case("grey image", None, module=None, is_error=False)
def _(folder, _monkeypatch):
    rewrite(folder / "RGB" / "b.jpg", lambda image: image.convert("L"))


@case("RGB with alpha", r"b.jpg: holds PNG", module=None, is_error=False)
def _(folder, _monkeypatch):
    rewrite(folder / "RGB" / "b.jpg", lambda image: image.convert("RGBA"), format="PNG")


@case("16-bit colour image", r"RGB/b.png: a colour image .* mode I;16, expected 8 bits.*: convert")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").unlink()
    save(folder / "RGB" / "b.png", np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))


@case("turned by EXIF data", r"b.jpg: turned by its EXIF data", module=None, is_error=False)
def _(folder, _monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    turn = Image.Transpose.ROTATE_90
    rewrite(folder / "RGB" / "b.jpg", lambda image: image.transpose(turn), exif=exif)


@case(
    "turned by EXIF data against its partners",
    r"depth/b.png: the depth map has 48 × 64 .* expected 64 × 48 .*EXIF",
    module=r"depth/b.png: the depth map has 48 × 64 .* expected 64 × 48",
)
def _(folder, _monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    rewrite(folder / "RGB" / "b.jpg", lambda image: image, exif=exif)


@case("1 × 1", r"b.(jpg|png): an image of 1 × 1 pixels .* shows nothing.*: replace it")
def _(folder, _monkeypatch):
    for path in folder.glob("*/b.*"):
        rewrite(path, lambda image: image.resize((1, 1)))


@case("depth map of another size", r"depth/b.png: the depth map has 24 × 32 .*: resize")
def _(folder, _monkeypatch):
    rewrite(folder / "depth" / "b.png", lambda image: image.resize((32, 24)))


@case("mask of another size", r"GT/b.png: the mask has 24 × 32 .*: resize")
def _(folder, _monkeypatch):
    rewrite(folder / "GT" / "b.png", lambda image: image.resize((32, 24), Image.Resampling.NEAREST))


# Masks


@case("mask with three classes", r"GT/b.png: not a binary mask, .*: threshold it")
def _(folder, _monkeypatch):
    save(folder / "GT" / "b.png", np.repeat(np.uint8([0, 128, 255]), 16)[:, None].repeat(64, 1))


@case("mask with a small third class", r"GT/b.png: not a binary mask, areas .* value 128; .*: say")
def _(folder, _monkeypatch):
    with Image.open(folder / "GT" / "b.png") as image:
        values = np.array(image)
    values[40:47, 50:60] = 128
    save(folder / "GT" / "b.png", values)


@case("mask of the values 0, 1 and 2", r"GT/b.png: not a binary mask, .* largest value is 2")
def _(folder, _monkeypatch):
    save(folder / "GT" / "b.png", np.repeat(np.uint8([0, 1, 2]), 16)[:, None].repeat(64, 1))


@case("mask in grey", r"GT/b.png: not a binary mask")
def _(folder, _monkeypatch):
    save(folder / "GT" / "b.png", (np.arange(48 * 64) % 256).astype(np.uint8).reshape(48, 64))


@case("16-bit mask", r"GT/b.png: a mask with values of mode I;16, expected 1 or 8 bits.*: convert")
def _(folder, _monkeypatch):
    save(folder / "GT" / "b.png", np.full((48, 64), 65535, np.uint16))


@case("mask in the alpha channel", r"GT/b.png: transparent pixels, .*: flatten it")
def _(folder, _monkeypatch):
    with Image.open(folder / "GT" / "b.png") as image:
        alpha = image.convert("L")
    black = Image.new("L", alpha.size)
    Image.merge("LA", (black, alpha)).save(folder / "GT" / "b.png")


@case("empty mask", r"GT/b.png: the mask is empty: replace it", module=None)
def _(folder, _monkeypatch):
    save(folder / "GT" / "b.png", np.zeros((48, 64), np.uint8))


@case("full mask", r"GT/b.png: the mask is full: replace it", module=None)
def _(folder, _monkeypatch):
    save(folder / "GT" / "b.png", np.full((48, 64), 255, np.uint8))


@case(
    "inverted mask", r"GT/b.png: the object covers 100% of the border", module=None, is_error=False
)
def _(folder, _monkeypatch):
    rewrite(folder / "GT" / "b.png", lambda image: image.point(lambda value: 255 - value))


# Depth maps and colour images


# A sensor's way of saying that it has no reading: a hole.
@case("NaN", None, module=None, is_error=False)
def _(folder, _monkeypatch):
    values = np.arange(48 * 64, dtype=np.float32).reshape(48, 64)
    values[3, 3] = np.nan
    (folder / "depth" / "b.png").unlink()
    save(folder / "depth" / "b.tif", values)


@case("infinite depth", None, module=None, is_error=False)
def _(folder, _monkeypatch):
    values = np.arange(48 * 64, dtype=np.float32).reshape(48, 64)
    values[3, 3] = np.inf
    (folder / "depth" / "b.png").unlink()
    save(folder / "depth" / "b.tif", values)


@case("float TIFF", None, module=None, is_error=False)
def _(folder, _monkeypatch):
    with Image.open(folder / "depth" / "b.png") as image:
        values = np.array(image, np.float32) / 255
    (folder / "depth" / "b.png").unlink()
    save(folder / "depth" / "b.tif", values)


@case("constant depth map", r"depth/b.png: the depth map is constant: replace it", module=None)
def _(folder, _monkeypatch):
    save(folder / "depth" / "b.png", np.full((48, 64), 90, np.uint8))


@case("constant image", r"RGB/b.jpg: the image is constant: replace it", module=None)
def _(folder, _monkeypatch):
    save(folder / "RGB" / "b.jpg", np.zeros((48, 64, 3), np.uint8))


@case("mask in the place of depth", r"depth/b.png: the depth map holds two values", module=None)
def _(folder, _monkeypatch):
    (folder / "depth" / "b.png").write_bytes((folder / "GT" / "b.png").read_bytes())


@case("photograph in the place of a mask", r"GT/b.png: coloured .*: say which class is")
def _(folder, _monkeypatch):
    (folder / "GT" / "b.png").write_bytes((folder / "RGB" / "b.jpg").read_bytes())


# Pairing and names


@case(
    "missing depth map",
    r"1 of 3 stem\(s\) of RGB/ missing in depth/ \(b\).*: add the missing",
)
def _(folder, _monkeypatch):
    (folder / "depth" / "b.png").unlink()


@case("missing image", r"missing in RGB/ \(b\).*: add the missing files")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").unlink()


@case("missing mask", r"missing in GT/ \(b\).*: add the missing files")
def _(folder, _monkeypatch):
    (folder / "GT" / "b.png").unlink()


@case("two files of one stem", r"RGB: 1 stem with several files \(b.jpg and b.png\).*: remove")
def _(folder, _monkeypatch):
    rewrite(folder / "RGB" / "b.jpg", lambda image: image)
    with Image.open(folder / "RGB" / "b.jpg") as image:
        image.save(folder / "RGB" / "b.png")


@case("composed and decomposed name", "Unicode's decomposed form", module=None, is_error=False)
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").rename(folder / "RGB" / "\u00e9.jpg")
    for name in ("depth", "GT"):
        (folder / name / "b.png").rename(folder / name / "e\u0301.png")


@case("both forms of a name in one folder", r"several files \('.*' and '.*'\).*: remove the others")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").rename(folder / "RGB" / "\u00e9.jpg")
    (folder / "RGB" / "a.jpg").rename(folder / "RGB" / "e\u0301.jpg")


@case(
    "names that differ in case across folders",
    r"missing in depth/ \(b, but B.png differs in upper and lower case\)",
)
def _(folder, _monkeypatch):
    (folder / "depth" / "b.png").rename(folder / "depth" / "B.png")


@case("names that clash in case", r"another stem differs in upper and lower case only", module=None)
def _(folder, _monkeypatch):
    for path in folder.glob("*/b.*"):
        path.rename(path.with_name("A" + path.suffix))


@case("line break in a name", r"1 name\(s\) with line breaks.*\('b\\nb.jpg'\).*: rename them")
def _(folder, _monkeypatch):
    for path in folder.glob("*/b.*"):
        path.rename(path.with_name("b\nb" + path.suffix))


@case("bytes in a name that are no text", r"undecodable bytes \('b\\udcff.jpg'\).*: rename them")
def _(folder, _monkeypatch):
    for path in folder.glob("*/b.*"):
        path.rename(path.with_name("b\udcff" + path.suffix))


@case("hidden files", r"hidden files .* ignored: nothing to do", module=None, is_error=False)
def _(folder, _monkeypatch):
    for name in (".DS_Store", "._b.jpg", "Thumbs.db"):
        (folder / "RGB" / name).write_bytes(b"\0")


@case("other files", r"list.txt: not of an accepted format, ignored", module=None, is_error=False)
def _(folder, _monkeypatch):
    (folder / "RGB" / "list.txt").write_text("a b c")


# Things that are no files, and folders


@case("folder in the place of a file", r"RGB/b.jpg: a folder, expected an image file: move it away")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").unlink()
    (folder / "RGB" / "b.jpg").mkdir()


@case("named pipe", r"RGB/b.jpg: no regular file, expected an image file: move it away")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").unlink()
    os.mkfifo(folder / "RGB" / "b.jpg")


@case("dangling link", r"RGB/b.jpg: cannot be read .*a link to gone.jpg, which cannot be followed")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").unlink()
    (folder / "RGB" / "b.jpg").symlink_to("gone.jpg")


@case("link to itself", r"RGB/b.jpg: cannot be read .*a link to b.jpg, which cannot be followed")
def _(folder, _monkeypatch):
    (folder / "RGB" / "b.jpg").unlink()
    (folder / "RGB" / "b.jpg").symlink_to("b.jpg")


@case("folder that links to its parent", r"leads to .*checked already", module=None, is_error=False)
def _(folder, _monkeypatch):
    (folder / "again").symlink_to(folder.parent)


@case(
    "broken link in the place of a folder",
    r"mine: no folder depth.*: add or rename it",
    module=r"no folder depth .*depth is a broken link, expected a folder",
)
def _(folder, _monkeypatch):
    (folder / "depth").rename(folder / "elsewhere")
    (folder / "depth").symlink_to("gone")


@case(
    "file in the place of a folder",
    r"mine: no folder GT.*: add or rename it",
    module=r"no folder GT .*GT is a file, expected a folder",
)
def _(folder, _monkeypatch):
    (folder / "GT").rename(folder / "elsewhere")
    (folder / "GT").write_text("")


@case("missing folder", r"mine: no folder GT.*: add or rename it")
def _(folder, _monkeypatch):
    (folder / "GT").rename(folder / "truths")


@case("two aliases of one folder", r"mine: Imgs and RGB both hold RGB images.*: move the other one")
def _(folder, _monkeypatch):
    (folder / "Imgs").mkdir()


@case("empty folder", r"mine/depth: no images; expected files ending in .*: check that")
def _(folder, _monkeypatch):
    for path in (folder / "depth").iterdir():
        path.unlink()


@case("folder unpacked into itself", r"mine/RGB: no images; .*unpacked here. Found: RGB")
def _(folder, _monkeypatch):
    (folder / "RGB").rename(folder / "inner")
    (folder / "RGB").mkdir()
    (folder / "inner").rename(folder / "RGB" / "RGB")


@case("file without permission", r"RGB/b.jpg: cannot be read .*Permission denied")
def _(folder, monkeypatch):
    # The tests may run as root, whom no permission stops.
    original = open

    def deny(file, *arguments, **options):
        if str(file).endswith("RGB/b.jpg"):
            raise PermissionError(13, "Permission denied", str(file))
        return original(file, *arguments, **options)

    monkeypatch.setattr("builtins.open", deny)


@case(
    "folder without permission", r"mine/GT: the folder cannot be read \(Permission denied\): check"
)
def _(folder, monkeypatch):
    original = Path.iterdir

    def deny(path):
        if path.name == "GT":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(Path, "iterdir", deny)


def test_there_are_at_least_forty_kinds_of_damage():
    print(f"{len(CASES)} kinds of damage")
    assert len(CASES) >= 40


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", CASES)
def test_damage_is_named_with_its_remedy_or_handled(builder, monkeypatch, name):
    damage, pattern, is_error, module_pattern = CASES[name]
    folder = builder.add("mine")
    before = check_root(builder.root).findings
    assert not before
    damage(folder, monkeypatch)

    report = check_root(builder.root)
    if pattern is None:
        assert not report.findings
    else:
        found = [f for f in report.findings if re.search(pattern, f.message)]
        assert found, report.findings
        assert {finding.is_error for finding in found} == {is_error}
    assert (report.num_errors > 0) == is_error, report.findings
    assert all("\n" not in finding.message for finding in report.findings)

    module = RGBDSaliencyDataModule(
        root=str(builder.root),
        train_sets=["mine"],
        image_size=32,
        num_workers=0,
        validation_fraction=0.0,
        augment=False,
    )

    def read_all() -> int:
        module.setup("fit")
        return len([module.train_dataset[i]["mask"] for i in range(len(module.train_dataset))])

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*the depth map is constant")
        if module_pattern is None:
            assert read_all() == 3
        else:
            with pytest.raises(DataError, match=f"(?s){module_pattern}") as error:
                read_all()
            assert "\n" not in str(error.value)
