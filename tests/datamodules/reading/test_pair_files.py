import shutil

import pytest

from datamodules import DataError
from datamodules.reading.pair_files import pair_files


def test_files_are_paired_by_stem_and_sorted(folders):
    folder = folders.add(stems=("b", "a", "c.1"))
    samples = pair_files("NLPR", folder)
    assert [sample.name for sample in samples] == ["a", "b", "c.1"]
    for sample in samples:
        assert sample.dataset == "NLPR"
        assert sample.rgb == folder / "RGB" / f"{sample.name}.jpg"
        assert sample.depth == folder / "depth" / f"{sample.name}.png"
        assert sample.mask == folder / "GT" / f"{sample.name}.png"


@pytest.mark.parametrize(
    "aliases", [("rgb", "depths", "gt"), ("Imgs", "Depth", "masks"), ("images", "depth", "mask")]
)
def test_aliases_and_mixed_extensions(folders, aliases):
    folder = folders.add()
    (folder / "RGB" / "a.jpg").rename(folder / "RGB" / "a.JPEG")
    (folder / "depth" / "b.png").rename(folder / "depth" / "b.tif")
    for name, alias in zip(("RGB", "depth", "GT"), aliases, strict=True):
        (folder / name).rename(folder / f"renamed {name}")
        (folder / f"renamed {name}").rename(folder / alias)
    samples = pair_files("NLPR", folder)
    assert [sample.name for sample in samples] == ["a", "b", "c"]
    assert samples[0].rgb.name == "a.JPEG" and samples[1].depth.name == "b.tif"
    assert samples[0].mask.parent.name == aliases[2]


def test_other_and_hidden_files_are_ignored(folders):
    folder = folders.add()
    for name in ("Thumbs.db", ".DS_Store", "._a.jpg"):
        (folder / "RGB" / name).touch()
    assert len(pair_files("NLPR", folder)) == 3


def test_mask_folder_may_be_missing_if_optional(folders):
    folder = folders.add(masks=False)
    assert [sample.mask for sample in pair_files("x", folder, mask_is_optional=True)] == [None] * 3
    with pytest.raises(DataError, match="no folder GT .accepted names, .*: GT, mask, groundtruth"):
        pair_files("x", folder)


def test_mask_folder_that_is_there_is_paired_even_if_optional(folders):
    folder = folders.add()
    (folder / "GT" / "b.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 stem\(s\) of RGB/ missing in GT/ \(b\)"):
        pair_files("x", folder, mask_is_optional=True)


def test_missing_folder_lists_what_is_there(folders):
    folder = folders.add()
    with pytest.raises(DataError, match="NLPR2: no such folder.*--data.root.*Found in .*: NLPR$"):
        pair_files("NLPR2", folder.parent / "NLPR2")


def test_missing_subfolder_lists_what_is_there_and_the_aliases(folders):
    folder = folders.add()
    shutil.rmtree(folder / "depth")
    with pytest.raises(
        DataError,
        match="NLPR: no folder depth .*depth, disparity.*fusion.name=rgb.*Found in .*: GT, RGB",
    ):
        pair_files("NLPR", folder)


def test_two_aliases_of_one_folder_are_ambiguous(folders):
    folder = folders.add()
    (folder / "images").mkdir()
    with pytest.raises(DataError, match="RGB and images both hold RGB images"):
        pair_files("NLPR", folder)


def test_folder_without_images(folders):
    folder = folders.add()
    for path in (folder / "depth").iterdir():
        path.rename(path.with_suffix(".mat"))
    with pytest.raises(DataError, match="depth: no images; expected files ending in .jpg"):
        pair_files("NLPR", folder)


def test_unpaired_stems_are_counted_and_named_in_both_directions(folders):
    folder = folders.add(stems=tuple("abcdefg"))
    for stem in "abcde":
        (folder / "depth" / f"{stem}.png").unlink()
    (folder / "RGB" / "g.jpg").unlink()
    with pytest.raises(DataError) as error:
        pair_files("NLPR", folder)
    assert "5 of 6 stem(s) of RGB/ missing in depth/ (a, b, c, d, e)" in str(error.value)
    assert "1 of 2 stem(s) of depth/ missing in RGB/ (g)" in str(error.value)
    assert "\n" not in str(error.value)


def test_duplicate_stems(folders):
    folder = folders.add()
    (folder / "RGB" / "b.png").touch()
    with pytest.raises(DataError, match=r"RGB: 1 stem with several files \(b.jpg and b.png\)"):
        pair_files("NLPR", folder)
