import shutil

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError
from datamodules.check import check_root, draw_contact_sheet


def kinds(report):
    return [finding.kind for finding in report.findings if finding.is_error]


def find(report, kind):
    (finding,) = [finding for finding in report.findings if finding.kind == kind]
    return finding


def copy_real(real_data, tmp_path, name="DES", to="test/DES"):
    shutil.copytree(real_data / name, tmp_path / to)
    return tmp_path / to


def invert(folder):
    for path in folder.iterdir():
        with Image.open(path) as image:
            inverted = 255 - np.array(image.convert("L"))
        Image.fromarray(inverted).save(path)


def of_polarity(report):
    return [(seen.dataset.name, seen.declared_near, seen.polarity.near) for seen in report.datasets]


# Finding data sets


def test_data_sets_are_found_under_any_layout_and_alias(builder):
    for path in (
        "train/NJU2K",
        "test/NJUD",
        "STERE",
        "DUT-RGBD/train_data",
        "NLPR_TEST",
        "deep/below/mine",
    ):
        builder.add(path)
    folder = builder.root / "deep/below/mine"
    for name, alias in (("RGB", "Imgs"), ("depth", "Depth"), ("GT", "masks")):
        (folder / name).rename(folder / f"{alias}_")
        (folder / f"{alias}_").rename(folder / alias)
    report = check_root(builder.root)
    seen = {
        seen.dataset.label: (seen.dataset.entry and seen.dataset.entry.name, seen.dataset.split)
        for seen in report.datasets
    }
    assert seen == {
        "train/NJU2K": ("NJU2K", "train"),
        "test/NJUD": ("NJU2K", "test"),
        "STERE": ("STEREO", "test"),
        "DUT-RGBD/train_data": ("DUT-RGBD", "train"),
        "NLPR_TEST": ("NLPR", "test"),
        "deep/below/mine": (None, None),
    }
    assert all(len(seen.samples) == 3 for seen in report.datasets)


def test_the_root_may_be_the_data_set(builder):
    folder = builder.add("test/DES", near="dark")
    (seen,) = check_root(folder).datasets
    assert (seen.dataset.label, seen.dataset.name, seen.dataset.split) == (".", "DES", "test")
    (seen,) = check_root(folder.parent).datasets
    assert (seen.dataset.label, seen.dataset.split) == ("DES", "test")


def test_thermal_data_sets_are_read_but_not_asked_for_polarity(builder):
    folder = builder.add("VT821", near="dark")
    (folder / "depth").rename(folder / "T")
    (seen,) = check_root(builder.root).datasets
    assert not seen.is_depth and seen.declared_near is None and seen.polarity.num_votes == 0
    assert [finding.kind for finding in seen.findings] == ["count"]


def test_a_folder_named_like_a_data_set_that_holds_none(builder):
    builder.add("mine")
    (builder.root / "test/SIP/images.zip.d").mkdir(parents=True)
    assert (
        "SIP: named like the data set SIP, but holds none"
        in check_root(builder.root).findings[0].message
    )


@pytest.mark.parametrize("content", ["nothing", "no root", "a file"])
def test_a_root_without_data_is_a_mistake_of_the_user(tmp_path, content):
    root = tmp_path / "root"
    if content == "nothing":
        root.mkdir()
    elif content == "a file":
        root.touch()
    with pytest.raises(DataError, match="root: no (data set found|such folder)"):
        check_root(root)


# Counts


@pytest.mark.parametrize(
    ("num_pairs", "is_error", "words"),
    [
        (80, None, ""),
        (79, True, "79 complete pairs, 80 in SSD test: complete it"),
        (81, True, "81 complete pairs"),
    ],
)
def test_counts_are_compared_with_the_catalogue(builder, num_pairs, is_error, words):
    builder.add("SSD", tuple(f"{i:03}" for i in range(num_pairs)), near="dark")
    counts = [f for f in check_root(builder.root).findings if f.kind == "count"]
    assert [finding.is_error for finding in counts] == ([] if is_error is None else [is_error])
    assert all(words in finding.message for finding in counts)


def test_a_count_of_other_copies_is_only_noticed(builder, monkeypatch):
    builder.add("SSD", near="dark")
    monkeypatch.setattr("datamodules.check.set_findings.expected_counts", lambda _: (80, 3))
    finding = find(check_root(builder.root), "count")
    assert not finding.is_error and "80 in SSD test (3 in other copies)" in finding.message


# Polarity


@pytest.mark.parametrize(
    ("name", "near", "remedy"),
    [
        ("mine", "dark", "add mine to --data.near_dark_sets"),
        ("SSD", "bright", "give --data.near_dark_sets without SSD"),
        ("NLPR", "dark", "add NLPR to --data.near_dark_sets"),
    ],
)
def test_wrong_polarity_is_found(builder, name, near, remedy):
    builder.add(name, near=near)
    finding = find(check_root(builder.root), "polarity")
    # What the objects of other data sets are, nobody knows.
    assert finding.is_error == (name != "mine")
    assert f"near is {near} in these depth maps" in finding.message
    assert "objects being nearer" in finding.message and "the ground" in finding.message
    assert remedy in finding.message


@pytest.mark.parametrize(
    ("name", "near"), [("mine", "bright"), ("SSD", "dark"), ("NLPR", "bright")]
)
def test_right_polarity_is_no_finding(builder, name, near):
    builder.add(name, near=near)
    assert "polarity" not in kinds(check_root(builder.root))


def test_two_images_are_too_few_to_tell(builder):
    builder.add("SSD", ("a", "b"), near="bright")
    report = check_root(builder.root)
    assert of_polarity(report) == [("SSD", "dark", None)]
    assert "polarity" not in kinds(report)


def test_an_unknown_polarity_is_estimated_and_not_judged(builder):
    builder.add("ReDWeb-S", near="dark")
    report = check_root(builder.root)
    assert of_polarity(report) == [("ReDWeb-S", None, "dark")]
    assert "polarity" not in kinds(report)


# Leaks


def copy_sample(source, target, stem, change=lambda image: image, **options):
    for path in source.glob(f"*/{stem}.*"):
        shutil.copy(path, target / path.parent.name / f"copy{path.suffix}")
    (copy,) = (target / "RGB").glob("copy.*")
    with Image.open(copy) as image:
        image.load()
    change(image).save(copy, **options)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda image: image, {}),
        (lambda image: image, {"quality": 40}),
        (lambda image: image.resize((44, 32)), {}),
        (lambda image: image.point(lambda value: int(value * 0.8 + 10)), {}),
    ],
    ids=["same", "recompressed", "resized", "darker"],
)
def test_a_test_image_in_a_training_set_is_found(builder, change, options):
    train, test = builder.add("train/NJU2K"), builder.add("test/NLPR")
    copy_sample(test, train, "b", change, **options)
    finding = find(check_root(builder.root), "leak")
    assert finding.is_error
    assert str(train / "RGB" / "copy.jpg") in finding.message
    assert str(test / "RGB" / "b.jpg") in finding.message


def test_a_duplicate_within_a_set_is_only_noticed(builder):
    folder = builder.add("mine")
    copy_sample(folder, folder, "b")
    report = check_root(builder.root)
    assert not find(report, "duplicate").is_error
    assert "leak" not in kinds(report)


def test_different_images_are_no_duplicates(builder):
    builder.add("train/NJU2K", tuple(f"{i:03}" for i in range(100)))
    builder.add("test/NJU2K", tuple(f"{i:03}" for i in range(100)))
    assert not {"leak", "duplicate"} & {f.kind for f in check_root(builder.root).findings}


# All together


def test_workers_find_the_same(builder):
    folder = builder.add("NLPR", near="dark")
    (folder / "RGB" / "b.jpg").write_bytes(b"")
    builder.add("mine")
    alone, helped = (check_root(builder.root, workers).findings for workers in (0, 2))
    assert alone == helped and len(alone) == 2  # count, unreadable; two votes do not tell


def test_contact_sheet_shows_every_data_set_and_broken_files(builder):
    whole, broken = builder.add("whole"), builder.add("broken")
    (broken / "GT" / "a.png").write_bytes(b"")
    builder.add("empty")
    shutil.rmtree(builder.root / "empty" / "GT")
    page = draw_contact_sheet(check_root(builder.root), samples_per_dataset=2)
    rows = 2 + 2
    assert page.width > 4 * 200 and page.height > rows * 200
    colours = [colour for _, colour in page.getcolors(maxcolors=2**24)]
    assert (246, 214, 210) in colours and whole.is_dir()


# Real data


def test_real_triples_have_the_declared_polarity(real_data):
    report = check_root(real_data)
    assert of_polarity(report) == [("DES", "dark", "dark"), ("SSD", "dark", "dark")]
    # Only a few of the triples are here; nothing else is wrong with them.
    assert kinds(report) == ["count", "count"]


@pytest.mark.parametrize("name", ["DES", "SSD"])
def test_inverted_copies_of_real_triples_are_found(real_data, tmp_path, name):
    folder = copy_real(real_data, tmp_path, name, f"test/{name}")
    invert(folder / "depth")
    report = check_root(tmp_path)
    assert of_polarity(report) == [(name, "dark", "bright")]
    assert kinds(report) == ["count", "polarity"]


def damage_bytes(folder):
    path = folder / "RGB" / "RGBD_data_2.jpg"
    path.write_bytes(path.read_bytes()[:5000])


def damage_pairing(folder):
    (folder / "depth" / "RGBD_data_2.bmp").unlink()


def damage_size(folder):
    path = folder / "GT" / "RGBD_data_2.png"
    with Image.open(path) as image:
        image.resize((320, 240), Image.Resampling.NEAREST).save(path)


def damage_depth(folder):
    Image.new("L", (640, 480), 7).save(folder / "depth" / "RGBD_data_2.bmp")


def damage_mask(folder):
    Image.new("L", (640, 480)).save(folder / "GT" / "RGBD_data_2.png")


def damage_bits(folder):
    values = np.full((480, 640), 60000, np.uint16)
    Image.fromarray(values).save(folder / "GT" / "RGBD_data_2.png")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (damage_bytes, "unreadable"),
        (damage_pairing, "unpaired"),
        (damage_size, "size"),
        (damage_depth, "constant"),
        (damage_mask, "constant"),
        (damage_bits, "content"),
    ],
)
def test_damaged_copies_of_real_triples_are_found_and_named(real_data, tmp_path, damage, kind):
    damage(copy_real(real_data, tmp_path))
    report = check_root(tmp_path)
    assert kinds(report) == ["count", kind]
    assert "RGBD_data_2" in find(report, kind).message


def test_a_real_test_image_among_training_data_is_found(real_data, tmp_path):
    test, train = copy_real(real_data, tmp_path), tmp_path / "train" / "mine"
    shutil.copytree(real_data / "SSD", train)
    for name in ("RGB", "depth", "GT"):
        (path,) = (test / name).glob("RGBD_data_4.*")
        with Image.open(path) as image:
            smaller = image.resize((256, 256), Image.Resampling.NEAREST)
        smaller.save((train / name / "copy").with_suffix(path.suffix))
    leak = find(check_root(tmp_path), "leak")
    assert "RGBD_data_4.jpg" in leak.message and "copy.jpg" in leak.message
