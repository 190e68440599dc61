"""`mutualformer evaluate` as a user types it: what it writes, what it says, what it refuses."""

import csv
import json
import shutil
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import py_sod_metrics
import pytest
from PIL import Image

from lightning_modules.main import main
from lightning_modules.report import curves_figure

NINE = [
    *("s_measure", "f_max", "f_mean", "f_adaptive", "f_weighted"),
    *("e_max", "e_mean", "e_adaptive", "mae"),
]


def evaluate(maps: Path, *options: str) -> int:
    folders = ["--predictions", str(maps / "maps"), "--ground-truth", str(maps / "SET" / "GT")]
    return main(["evaluate", *folders, *options])


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Run, expect exit code 2, and return the one message."""
    with pytest.raises(SystemExit) as error:
        main(["evaluate", *arguments])
    assert error.value.code == 2
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    messages = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(messages) == 1
    return messages[0]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_json_equals_the_oracle_and_says_what_it_is_of(maps: Path) -> None:
    output = maps / "new" / "scores.json"
    assert evaluate(maps, "--output", str(output)) == 0
    results = json.loads(output.read_text())
    scores = results["scores"]["SET"]
    assert list(scores) == [*NINE, "f_max_dataset"]

    measures = {
        "s_measure": (py_sod_metrics.Smeasure(), "sm"),
        "f_weighted": (py_sod_metrics.WeightedFmeasure(), "wfm"),
        "mae": (py_sod_metrics.MAE(), "mae"),
        "e_adaptive": (py_sod_metrics.Emeasure(), "em"),
    }
    for path in sorted((maps / "maps").iterdir()):
        pair = [np.array(Image.open(x)) for x in (path, maps / "SET" / "GT" / path.name)]
        for measure, _ in measures.values():
            measure.step(*pair)
    for name, (measure, key) in measures.items():
        value = measure.get_results()[key]
        value = value["adp"] if key == "em" else value
        assert scores[name] == pytest.approx(value, abs=1e-9), name
    assert results["num_images"] == {"SET": 5}
    assert results["missing"] == {"SET": {"predictions": [], "ground_truths": []}}
    assert "PySODMetrics 1.6" in results["protocol"]
    assert results["predictions"] == {"SET": str(maps / "maps")}


def test_known_scores_of_made_maps(maps: Path) -> None:
    """Numbers that PySODMetrics 1.6.2 gave for these five pairs once."""
    output = maps / "scores.json"
    assert evaluate(maps, "--output", str(output)) == 0
    expected = {
        "s_measure": 0.5657357482589889,
        **{"f_max": 0.9174770423877885, "f_mean": 0.4326787830532568},
        **{"f_adaptive": 0.8541464022287826, "f_weighted": 0.2536696227415244},
        **{"e_max": 0.9571257728505724, "e_mean": 0.4851045939672647},
        **{"e_adaptive": 0.8461916686123482, "mae": 0.29391461338990565},
        "f_max_dataset": 0.9179592940315756,
    }
    assert json.loads(output.read_text())["scores"]["SET"] == pytest.approx(expected, abs=1e-9)


def test_published_scores(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/metric_check/soc_ac"
    output = tmp_path / "scores.csv"
    options = ["--predictions", str(folder / "ICON"), "--ground-truth", str(folder / "GT")]
    assert main(["evaluate", *options, "--workers", "2", "--output", str(output)]) == 0
    (row,) = read_rows(output)
    assert [f"{float(row[name]):.3f}" for name in NINE] == [
        *("0.832", "0.814", "0.793", "0.782", "0.767", "0.895", "0.885", "0.872", "0.066")
    ]
    assert (row["dataset"], row["num_images"]) == ("soc_ac", "79")


def test_workers_change_nothing(maps: Path) -> None:
    for workers in ("0", "2"):
        assert (
            evaluate(maps, "--workers", workers, "--per-image", str(maps / f"{workers}.csv")) == 0
        )
    assert (maps / "0.csv").read_bytes() == (maps / "2.csv").read_bytes()


def test_tables_and_curves_of_two_sets(maps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = [
        *("--predictions", str(maps / "SET" / "GT"), "--ground-truth", str(maps / "SET" / "GT")),
        *("--name", "one_set", "--name", "100% a|b_$x$"),
    ]
    for suffix in ("md", "tex", "csv"):
        curves = [] if suffix == "csv" else ["--curves", str(maps / f"curves_{suffix}.svg")]
        assert evaluate(maps, *second, "--output", str(maps / f"scores.{suffix}"), *curves) == 0
    printed = capsys.readouterr().out
    assert "one_set" in printed and "100% a|b_$x$" in printed
    assert "PySODMetrics 1.6" in printed

    markdown = (maps / "scores.md").read_text()
    assert r"| 100% a\|b\_\$x\$ | 5 | 1.000 | 1.000 |" in markdown
    assert "PySODMetrics 1.6" in markdown
    latex = (maps / "scores.tex").read_text()
    assert r"100\% a\textbar{}b\_\$x\$ & 5 & 1.000 &" in latex
    assert "PySODMetrics 1.6" in latex
    rows = read_rows(maps / "scores.csv")
    assert [row["dataset"] for row in rows] == ["one_set", "100% a|b_$x$"]
    assert {row["protocol"] for row in rows} == {"pysodmetrics-1.6"}
    assert float(rows[0]["f_max"]) < float(rows[1]["f_max"])
    figure = xml.etree.ElementTree.parse(maps / "curves_md.svg").getroot()
    assert figure.tag.endswith("svg")


def test_curves_as_png(maps: Path) -> None:
    assert evaluate(maps, "--curves", str(maps / "curves.png")) == 0
    with Image.open(maps / "curves.png") as figure:
        assert np.array(figure.convert("L")).std() > 1


def test_missing_images_are_refused_or_said(
    maps: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (maps / "maps" / "image_1.png").unlink()
    (maps / "SET" / "GT" / "image_3.png").unlink()
    folders = ["--predictions", str(maps / "maps"), "--ground-truth", str(maps / "SET" / "GT")]
    message = refused(folders, capfd)
    assert "image_1" in message and "image_3" in message and "--allow-missing" in message

    for suffix in ("json", "csv", "md", "tex"):
        output = ["--output", str(maps / f"scores.{suffix}"), "--per-image", str(maps / "p.csv")]
        assert evaluate(maps, "--allow-missing", *output) == 0
    said = "3 (1 without prediction, 1 without ground truth)"
    assert "1 without prediction" in " ".join(capfd.readouterr().out.split())
    assert said in (maps / "scores.md").read_text()
    assert said in (maps / "scores.tex").read_text()
    (row,) = read_rows(maps / "scores.csv")
    assert (row["num_images"], row["num_missing_predictions"]) == ("3", "1")
    missing = json.loads((maps / "scores.json").read_text())["missing"]["SET"]
    assert missing == {"predictions": ["image_1"], "ground_truths": ["image_3"]}
    status = {row["name"]: row["status"] for row in read_rows(maps / "p.csv")}
    assert status.pop("image_1") == "no prediction"
    assert status.pop("image_3") == "no ground truth"
    assert status == {f"image_{index}": "scored" for index in (0, 2, 4)}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_bad_file_is_named_and_nothing_is_written(
    maps: Path, workers: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = maps / "maps" / "image_2.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    outputs = ["--output", str(maps / "o.json"), "--per-image", str(maps / "p.csv")]
    folders = ["--predictions", str(maps / "maps"), "--ground-truth", str(maps / "SET" / "GT")]
    message = refused([*folders, *outputs, "--workers", workers], capfd)
    assert str(damaged) in message
    assert sorted(path.name for path in maps.iterdir()) == ["SET", "maps"]


def test_a_failing_figure_leaves_no_other_output(
    maps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> bytes:
        raise RuntimeError("no figure")

    monkeypatch.setattr(curves_figure, "draw_curves", fail)
    with pytest.raises(RuntimeError, match="no figure"):
        evaluate(maps, "--output", str(maps / "o.json"), "--curves", str(maps / "c.png"))
    assert sorted(path.name for path in maps.iterdir()) == ["SET", "maps"]


def test_a_file_that_cannot_be_written_is_named(
    maps: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folders = ["--predictions", str(maps / "maps"), "--ground-truth", str(maps / "SET" / "GT")]
    (maps / "file").write_text("")
    message = refused([*folders, "--output", str(maps / "file" / "scores.json")], capfd)
    assert str(maps / "file") in message and "cannot be written" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--output", "scores.txt"], "scores.txt, expected a file ending in .json .csv .md .tex"),
        (["--curves", "curves.pdf"], "expected a file ending in .png .svg"),
        (["--per-image", "scores.json"], "expected a file ending in .csv"),
        (["--per-image", "s.csv", "--output", "s.csv"], "expected two files"),
        (["--workers", "-1"], "--workers"),
        (["--device", "nowhere"], "--device nowhere"),
        (["--name", "a", "--name", "b"], "2 --name for 1 --predictions"),
        (["--predictions", "other"], "2 --predictions and 1 --ground-truth"),
        (["--allow-mis"], "--allow-mis"),
        (["--predictions", "maps", "--ground-truth", "SET/GT"], "2 sets are called 'SET'"),
        (["--predictions", "no", "--ground-truth", "no", "--name", "a", "--name", "b"], "no: no s"),
    ],
)
def test_mistakes_on_the_command_line(
    options: list[str],
    words: str,
    maps: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(maps)
    message = refused(["--predictions", "maps", "--ground-truth", "SET/GT", *options], capfd)
    assert words in message
    assert sorted(path.name for path in maps.iterdir()) == ["SET", "maps"]


def test_folders_that_do_not_belong_together(maps: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = maps / "empty"
    empty.mkdir()
    truths = str(maps / "SET" / "GT")
    message = refused(["--predictions", str(empty), "--ground-truth", truths], capfd)
    assert f"{empty}: no images" in message
    (empty / "other.png").write_bytes((maps / "maps" / "image_0.png").read_bytes())
    arguments = ["--predictions", str(empty), "--ground-truth", truths, "--allow-missing"]
    assert "no file stem in common" in refused(arguments, capfd)
    shutil.copy(maps / "maps" / "image_0.png", maps / "maps" / "image_0.bmp")
    arguments = ["--predictions", str(maps / "maps"), "--ground-truth", truths]
    assert "several files (image_0.bmp and image_0.png), expected one" in refused(arguments, capfd)
