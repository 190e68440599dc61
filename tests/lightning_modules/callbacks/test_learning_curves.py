"""Curves read back from the CSV files of a run, resumed or not, and their figure."""

import io

import pytest
from PIL import Image

from lightning_modules.callbacks.learning_curves import draw_learning_curves, read_curves
from lightning_modules.runs.score import SALIENCY_SCORES


@pytest.fixture
def write(tmp_path):
    def write(version, text):
        folder = tmp_path / f"version_{version}"
        folder.mkdir()
        (folder / "metrics.csv").write_text(text)

    return write


def test_empty_cells_are_no_points(write, tmp_path):
    write(0, "epoch,step,train/loss,val/held_out/mae\n0,4,1.5,\n0,4,,0.25\n1,9,1.0,\n")
    assert read_curves(tmp_path) == {
        "train/loss": [(4, 1.5), (9, 1.0)],
        "val/held_out/mae": [(4, 0.25)],
    }


def test_a_resumed_run_replaces_what_it_does_again(write, tmp_path):
    write(0, "step,train/loss,val/held_out/mae\n4,1.5,\n9,1.4,\n9,,0.3\n14,1.3,\n")
    write(2, "step,train/loss\n12,1.1\n")
    write(10, "step,train/loss\n14,0.9\n")  # after 2, though not by the alphabet
    write(11, "")
    assert read_curves(tmp_path) == {
        "train/loss": [(4, 1.5), (9, 1.4), (12, 1.1), (14, 0.9)],
        "val/held_out/mae": [(9, 0.3)],
    }


def test_a_validation_that_was_repeated_does_not_hide_the_step_before_it(write, tmp_path):
    write(0, "step,train/loss,val/held_out/mae\n8,1.5,\n9,1.4,\n")
    write(1, "step,train/loss,val/held_out/mae\n9,,0.3\n")
    write(2, "step,train/loss,val/held_out/mae\n9,,0.3\n10,1.3,\n")
    assert read_curves(tmp_path) == {
        "train/loss": [(8, 1.5), (9, 1.4), (10, 1.3)],
        "val/held_out/mae": [(9, 0.3)],
    }


def test_lines_that_a_full_disk_cut_are_left_out(write, tmp_path):
    write(0, "step,train/loss,val/held_out/mae\n4,1.5,\n9,1.\n14,1.3,\n19,1.4,24,1.4,\n2")
    assert read_curves(tmp_path) == {"train/loss": [(4, 1.5), (14, 1.3)]}


def test_a_run_without_files_has_no_curves(tmp_path):
    assert read_curves(tmp_path) == {}


@pytest.mark.parametrize(
    ("names", "num_panels"),
    [
        (["train/loss"], 1),
        (["train/loss", "val/held_out/s_measure", "val/held_out/mae", "train/learning_rate"], 4),
    ],
)
@pytest.mark.parametrize("num_points", [1, 200])
def test_there_is_one_panel_for_each_kind_of_curve(names, num_panels, num_points):
    curves = {name: [(step, 1 / (1 + step)) for step in range(num_points)] for name in names}
    picture = Image.open(io.BytesIO(draw_learning_curves(curves, SALIENCY_SCORES)))
    assert picture.size == (num_panels * 540, 465)


def test_a_line_that_a_kill_cut_is_left_out(write, tmp_path):
    write(0, "epoch,step,train/loss\n0,4,1.5\n0,9,1.4\n1")
    write(1, "epoch,step,train/loss\n1,14,not a number\n1,19,1.2\n")
    write("1_copy", "epoch,step,train/loss\n0,1,7\n")
    assert read_curves(tmp_path)["train/loss"][:2] == [(4, 1.5), (9, 1.4)]
    assert (19, 1.2) in read_curves(tmp_path)["train/loss"]
