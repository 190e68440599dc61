"""Lists of samples in every format in circulation, and lists that are none."""

from pathlib import Path

import pytest

from datamodules import DataError
from datamodules.reading.sample_lists import read_sample_list

FORMATS = {
    "bare": ["0001", "0002"],
    "one file": ["RGB/0001.jpg", "RGB/0002.jpg"],
    "image and label": ["RGB/0001.jpg Label/0001.png", "RGB/0002.jpg Label/0002.png"],
    "three columns by tabs": [
        "rgb/0001.png\tdepth/0001.png\tmasks/0001.png",
        "rgb/0002.png\tdepth/0002.png\tmasks/0002.png",
    ],
    "label first": ["masks/1.png,rgb/0001.png", "masks/2.png,rgb/0002.png"],
    "file names": ["0001.png", "0002.png"],
    "windows": ["RGB\\0001.jpg", "RGB\\0002.jpg"],
    "dots": ["./RGB/0001.jpg", "../NYUDepthv2/RGB/0002.jpg"],
}


@pytest.mark.parametrize("lines", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_formats_in_circulation(tmp_path: Path, lines: list[str], end: str, start: str) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes((start + "".join(line + end for line in lines)).encode())
    samples = read_sample_list(path, {"0001", "0002"})
    assert [sample.stem for sample in samples] == ["0001", "0002"]
    assert samples[0].line == 1


@pytest.mark.parametrize("stem", ["31_bag1a_rect.7", "living room 3", "a,b", "00001D"])
def test_names_that_hold_separators_are_names(tmp_path: Path, stem: str) -> None:
    path = tmp_path / "test.txt"
    for text in (stem, f"RGB/{stem}.png"):
        path.write_text(f"{text}\n")
        (sample,) = read_sample_list(path, {stem})
        assert sample.stem == stem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "train.txt: the list is empty"),
        (b"\n \r\n", "train.txt: the list is empty"),
        (b"1\n2\nRGB/1.jpg\n", "lines 1 and 3 both name 1"),
        (b"\xff\xfe1\x00", "it is no text in UTF-8"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_sample_list(path)
