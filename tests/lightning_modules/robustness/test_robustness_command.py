"""`mutualformer robustness`: scores of each run as `test` has them, pooled, drawn, refused."""

import csv
import json
import shutil
import statistics
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from small_fit import CONFIG, SMALL, fit

import lightning_modules.main as command_line


def main(words: list[str]) -> int:
    try:
        return command_line.main(words)
    except SystemExit as error:
        return int(str(error.code))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two seeds of one configuration and one of another."""
    root = tmp_path_factory.mktemp("runs")
    for name, seed, width in (("a", 0, 4), ("b", 1, 4), ("c", 0, 8)):
        options = [f"--seed_everything={seed}", f"--model.network.width={width}"]
        assert fit(root / name, *options, "--data.num_test=3") == 0
    return root


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def scores_of(run: Path) -> dict[str, dict[str, dict[str, float]]]:
    return json.loads((run / "robustness.json").read_text())["scores"]


def test_scores_are_those_of_test(runs: Path) -> None:
    run = runs / "a"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    words = ["--corruption", "depth:noise", "rgb:blank", "--severities", "0.5,1"]
    assert main(["robustness", str(run), *words]) == 0
    found = scores_of(run)
    assert list(found) == [
        *("clean", "depth:noise:0.5", "depth:noise:1", "rgb:blank:0.5", "rgb:blank:1")
    ]
    assert len({json.dumps(x) for x in found.values()}) >= 4
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {run / "robustness.json"}
    assert {path: after[path] for path in before} == before  # nor is anything else written
    for corruption in ("null", "depth:noise:0.5"):
        place = [f"--trainer.default_root_dir={runs / 'test'}"]
        place += [f"--ckpt_path={run / 'checkpoints/best.ckpt'}"]
        options = [f"--config={run / 'config.yaml'}", f"--data.corruption={corruption}"]
        assert main(["test", *options, *place]) == 0
        results = json.loads((runs / "test/results.json").read_text())
        assert results["scores"] == found["clean" if corruption == "null" else corruption]
        shutil.rmtree(runs / "test")


def test_seeds_share_a_row_and_a_line(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    axes: list[Axes] = []
    original = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **o: (axes.extend(self.axes), original(self, *a, **o))
    )
    words = ["--corruption", "depth:shift", "--corruption", "depth:holes", "--severities=1,0.25"]
    outputs = [tmp_path / "table.csv", tmp_path / "figure.png"]
    words += [f"--output={outputs[0]}", f"--plot={outputs[1]}"]
    assert main(["robustness", str(runs), *words]) == 0
    printed = capsys.readouterr()
    assert "depth:shift" in printed.out and "up to 2 runs" in printed.out
    assert printed.err.count("Testing ") == 3
    rows = list(csv.DictReader(outputs[0].open()))
    assert [(row["Configuration"], row["dataset"], row["metric"]) for row in rows[:5]] == [
        ("width=4", "clean", "s_measure"),
        ("width=4", "depth:shift", "s_measure_at_0_25"),
        ("width=4", "depth:shift", "s_measure_at_1"),
        ("width=4", "depth:holes", "s_measure_at_0_25"),
        ("width=4", "depth:holes", "s_measure_at_1"),
    ]
    pooled = [
        [scores_of(runs / name)[key]["synthetic"]["s_measure"] for name in "ab"]
        for key in ("clean", "depth:shift:0.25", "depth:shift:1")
    ]
    for row, values in zip(rows, pooled, strict=False):
        assert float(row["value"]) == pytest.approx(statistics.fmean(values))
        assert float(row["std"]) == pytest.approx(statistics.stdev(values))
        assert row["num_seeds"] == "2"
    assert rows[5]["Configuration"] == "width=8" and rows[5]["std"] == ""
    assert outputs[1].read_bytes().startswith(b"\x89PNG")
    shown = [panel for panel in axes if panel.get_visible()]
    assert [panel.get_title() for panel in shown] == ["depth: shift", "depth: holes"]
    drawn = [line.get_xydata().tolist() for line in shown[0].lines if line.get_linestyle() == "-"]
    expected = zip([0.0, 0.25, 1.0], map(statistics.fmean, pooled), strict=True)
    assert drawn[0] == [pytest.approx(list(point)) for point in expected]
    assert len(drawn) == 2


def test_what_is_not_read_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", f"--config={CONFIG}", "--model.network.fusion.name=rgb"]
    words += [*SMALL[3:6], "--data.image_size=64"]
    assert main([*words, f"--trainer.default_root_dir={tmp_path / 'rgb'}"]) == 0
    assert main(["robustness", str(tmp_path / "rgb"), "--severities=1"]) == 0
    assert "does not read depth: its scores are those of clean images" in capsys.readouterr().out
    found = scores_of(tmp_path / "rgb")
    assert len(found) == 1 + 6 and all(x == found["clean"] for x in found.values())


def test_one_that_cannot_be_tested_is_found_before_hours_are_spent(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(runs / "c" / "checkpoints")
    assert main(["robustness", str(runs), "--corruption=rgb:blur"]) == 2
    shown = capsys.readouterr().err
    assert f"no checkpoint in {runs / 'c' / 'checkpoints'}" in shown and "Testing" not in shown
    assert not (runs / "a" / "robustness.json").exists()


def test_a_damaged_checkpoint_is_named_and_what_was_measured_stays(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = runs / "b/checkpoints/best.ckpt"
    best.write_bytes(best.read_bytes()[:1000])
    words = ["--corruption=depth:blank", "--severities=1"]
    assert main(["robustness", str(runs), *words]) == 2
    assert f"error: {runs / 'b'}: checkpoint {best} cannot be read" in capsys.readouterr().err
    assert set(scores_of(runs / "a")) == {"clean", "depth:blank:1"}
    assert not (runs / "b/robustness.json").exists()


def test_a_reference_that_is_none_of_them_is_found_before_hours_are_spent(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["robustness", str(runs), "--reference=width=5"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--reference is 'width=5'" in line and "there are: width=4 | width=8" in line
    assert not (runs / "a" / "robustness.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent"], "absent: no such file or folder"),
        ([str(CONFIG)], "tiny.yaml is an experiment, expected the folder of a trained run"),
        (["a", "--corruption", "depth:fog"], "--corruption is 'depth:fog', expected one of rgb:bl"),
        (["a", "--corruption", "rgb:polarity"], "--corruption is 'rgb:polarity', expected one of"),
        (["a", "--corruption", "depth:noise:0.5"], "severities are given with --severities"),
        (["a", "--corruption", "thermal"], "--corruption is 'thermal', expected one of"),
        (["a", "--severities", "0,1"], r"'0,1', expected numbers in (0, 1]"),
        (["a", "--severities", "0.5;1"], r"'0.5;1', expected numbers in (0, 1]"),
        (["a", "--plot", "figure.pdf"], "expected a file ending in .png .svg"),
        (["a", "--data.num_test=9"], "--data.num_test would change what a is"),
        (["a", "--data.root"], "--data.root has no value"),
        ([], "RUN"),
    ],
)
def test_mistakes_in_one_line(
    words: list[str],
    message: str,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(trained)
    assert main(["robustness", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and line.startswith("error:")
