import pytest

from datamodules.held_out import split_held_out
from datamodules.reading.pair_files import pair_files

STEMS = tuple(f"image_{number:02d}" for number in range(40))
# Those whose sha256 of "NLPR/image_00" and so on, read as a fraction, is below 0.2.
HELD_OUT = {
    "image_01",
    "image_02",
    "image_05",
    "image_06",
    "image_11",
    "image_14",
    "image_25",
    "image_28",
    "image_31",
    "image_38",
}


def test_held_out_samples_are_the_same_on_every_machine(folders):
    samples = pair_files("NLPR", folders.add(stems=STEMS))
    training, held_out = split_held_out(samples, 0.2)
    assert {sample.name for sample in held_out} == HELD_OUT
    assert {sample.name for sample in training} == set(STEMS) - HELD_OUT


def test_held_out_samples_do_not_depend_on_the_other_files(folders):
    samples = pair_files("NLPR", folders.add(stems=STEMS))
    held_out = set(split_held_out(samples, 0.2)[1])
    for part in (samples[::2], samples[1::2], samples[5:30]):
        assert set(split_held_out(part, 0.2)[1]) == held_out & set(part)
    assert held_out < set(split_held_out(samples, 0.4)[1])


def test_expected_fraction_is_held_out(folders):
    (sample,) = pair_files("NLPR", folders.add(stems=("a",)))
    samples = [sample._replace(name=str(number)) for number in range(2000)]
    assert len(split_held_out(samples, 0.1)[1]) == pytest.approx(200, abs=40)


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_neither_side_of_the_split_is_empty(folders, fraction):
    samples = pair_files("NLPR", folders.add(stems=STEMS[:4]))
    sides = split_held_out(samples, fraction)
    assert min(map(len, sides)) == 1 and sum(map(len, sides)) == 4
