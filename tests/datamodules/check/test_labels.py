"""What a check finds of data sets for semantic segmentation."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.check import check_root, draw_contact_sheet
from datamodules.check.data_report import DataReport
from datamodules.label_map import LabelMap, read_label_map
from lightning_modules.report.data_tables import class_frequencies, void_share

from ..segmentation_folders import STEMS, add_nyu, label_of, write_list

MAP = LabelMap(("floor", "bed", "lamp"), void=(0,), offset=1)


def messages(report: DataReport, kind: str, *, errors: bool = True) -> list[str]:
    return [x.message for x in report.findings if x.kind == kind and x.is_error == errors]


def rewrite(path: Path, change) -> None:
    Image.fromarray(change(np.asarray(Image.open(path)).copy())).save(path)


def test_lists_are_the_splits_and_classes_are_counted(tmp_path: Path) -> None:
    add_nyu(tmp_path)
    report = check_root(tmp_path)
    labels = [(x.dataset.label, x.dataset.split, len(x.samples)) for x in report.datasets]
    assert labels == [
        ("NYUDepthv2/test.txt", "test", 3),
        ("NYUDepthv2/train.txt", "train", 5),
    ]
    assert [x.expected_counts for x in report.datasets] == [(654,), (795,)]
    assert len(messages(report, "count")) == 2
    test = report.datasets[0]
    stored = np.concatenate([label_of(x).ravel() for x in (5, 6, 7)])
    assert test.class_counts is not None and test.class_counts[255] == (stored == 255).sum()
    assert void_share(test) == pytest.approx((stored == 255).mean())
    shares = class_frequencies(test)
    assert shares is not None and len(shares) == 40
    assert shares["wall"] == pytest.approx((stored == 0).sum() / (stored != 255).sum())
    # 37 classes are in no image at all.
    (missing,) = messages(report, "classes", errors=False)
    assert "37 of 40 classes are in no training image (bed, chair" in missing
    assert draw_contact_sheet(report).width > 500


def test_a_class_that_is_tested_and_never_trained_is_named(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    for stem in STEMS[:5]:
        rewrite(folder / "Label" / f"{stem}.png", lambda x: np.where(x == 3, 1, x).astype("u1"))
    report = check_root(tmp_path, label_map=MAP)
    (missing,) = messages(report, "classes", errors=False)
    assert "1 of 3 classes are in no training image (lamp), of which lamp are in other" in missing


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda x: np.where(x == 3, 77, x).astype("u1"), "label", "the value 77 in"),
        (lambda x: np.repeat(x[..., None], 3, -1), "label", "the same grey value in three chan"),
        (lambda x: MAP.palette[MAP.table[x]], "label", "colours of the map's palette in three"),
        (lambda x: (x - 1).astype("u1"), "label", "255 is void where classes begin at 0"),
        (lambda x: x[::2, ::2], "size", "the label has 24 × 32 pixels"),
        (lambda x: 0 * x, "constant", "every pixel is void"),
    ],
)
def test_a_damaged_label_is_an_error_of_its_file(
    tmp_path: Path, change, kind: str, message: str
) -> None:
    folder = add_nyu(tmp_path)
    rewrite(folder / "Label" / "0002.png", change)
    report = check_root(tmp_path, label_map=MAP)
    (found,) = messages(report, kind)
    assert message in found and "Label/0002.png" in found


def test_an_empty_label_is_noticed(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    rewrite(folder / "Label" / "0003.png", lambda x: np.full_like(x, 1))
    (found,) = messages(check_root(tmp_path, label_map=MAP), "constant", errors=False)
    assert "0003.png: the label is empty but for floor" in found


def test_the_wrong_map_of_a_whole_set_is_told(tmp_path: Path) -> None:
    """Classes from 0 without void, read by a map that begins at 1: every value is known."""
    folder = add_nyu(tmp_path)
    for path in (folder / "Label").iterdir():
        rewrite(path, lambda x: np.maximum(x, 1))
    longer = LabelMap(("floor", "bed", "lamp", "door"), void=(0,), offset=1)
    found = messages(check_root(tmp_path, label_map=longer), "label", errors=False)
    assert len(found) == 2 and "as if all values were one off" in found[0]
    assert not messages(check_root(tmp_path, label_map=MAP), "label", errors=False)


def test_mostly_void_is_noticed(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    for path in (folder / "Label").iterdir():
        rewrite(path, lambda x: np.where(x == 1, 0, x).astype("u1"))
    found = messages(check_root(tmp_path, label_map=MAP), "void", errors=False)
    assert len(found) == 2 and "of the pixels are void" in found[0]


def test_a_copy_in_another_list_is_a_leak(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    generator = np.random.default_rng(1)
    for path in (folder / "RGB").iterdir():  # which are all alike otherwise
        noise = generator.integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(noise).resize((64, 48), Image.Resampling.NEAREST).save(path, quality=95)
    assert not messages(check_root(tmp_path), "leak")
    shutil.copy(folder / "RGB" / "0001.jpg", folder / "RGB" / "0006.jpg")
    (leak,) = messages(check_root(tmp_path), "leak")
    assert "a test image is trained on" in leak
    (folder / "test.txt").rename(folder / "val.txt")
    (leak,) = messages(check_root(tmp_path), "leak")
    assert "a validation image is trained on" in leak


def test_a_list_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    write_list(folder / "train.txt", [*STEMS[:4], "0099"])
    write_list(folder / "test.txt", [])
    found = messages(check_root(tmp_path), "list")
    assert any("line 5: 0099, no RGB image and no depth image and no label" in x for x in found)
    assert any("test.txt: the list is empty" in x for x in found)


def test_arrays_of_depth_are_read(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    for path in list((folder / "Depth").iterdir()):
        np.save(path.with_suffix(".npy"), np.asarray(Image.open(path)).astype(np.float32))
        path.unlink()
    report = check_root(tmp_path)
    assert report.datasets[0].depth_modes == {"array": 3}
    assert not messages(report, "unreadable")
    (folder / "Depth" / "0000.npy").write_bytes(b"\x93NUMPY")
    (found,) = messages(check_root(tmp_path), "unreadable")
    assert "0000.npy: cannot be read as an array" in found


def test_real_pairs_have_near_duplicates_and_empty_labels(shared: Path) -> None:
    folder = shared / "data" / "rgbd_seg" / "pipes"
    if not folder.is_dir():
        pytest.skip("the real pairs of pipes are not beside this repository")
    own = read_label_map({"classes": ["background", "defect 1", "defect 2"]})
    report = check_root(folder, label_map=own)
    assert [len(x.samples) for x in report.datasets] == [50, 27]
    (leak,) = messages(report, "leak")
    assert "49.png" in leak and "48.png" in leak
    empty = next(x for x in report.findings if x.kind == "constant")
    assert len(empty.files) == 6 and "empty but for background" in empty.message
