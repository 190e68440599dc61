"""Every shipped table loads, renders without any run, and names runs that can be made."""

import csv
import io
import shlex
from pathlib import Path

import pytest
import yaml

from lightning_modules.main import main
from lightning_modules.sweep.sweep_file import read_sweep
from lightning_modules.tables.kept_results import kept_path
from lightning_modules.tables.table_file import read_table_file

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
TABLES = sorted((EXPERIMENTS / "tables").glob("*.yaml"))
WITHOUT_RESULTS = [path for path in TABLES if not kept_path(path).exists()]
TABLE_1 = EXPERIMENTS / "tables" / "table1_rgbd_sod.yaml"


@pytest.mark.parametrize("path", WITHOUT_RESULTS, ids=lambda path: path.stem)
def test_a_table_renders_in_every_format_without_runs(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = [tmp_path / f"table{suffix}" for suffix in (".md", ".tex", ".csv", ".html")]
    options = [word for output in outputs for word in ("--output", str(output))]
    assert main(["table", str(path), *options]) == 0
    printed = capsys.readouterr().out
    file = read_table_file(path)
    assert file.title in printed and "Missing runs:" in printed
    assert "–" in printed
    name, heading = ("miou", "mIoU") if "miou" in file.metrics else ("mae", "MAE")
    if path.stem.startswith("probe"):
        name, heading = "accuracy", "Accuracy"
    for output in outputs:
        assert (name if output.suffix == ".csv" else heading) in output.read_text()
    assert f"mutualformer table experiments/tables/{path.name}" in path.read_text()


def test_every_ablation_has_a_table_of_all_its_trials() -> None:
    sweeps = sorted((EXPERIMENTS / "ablations").glob("*.yaml"))
    assert sweeps
    for sweep in sweeps:
        file = read_table_file(EXPERIMENTS / "tables" / sweep.name)
        planned = {run.folder for row in file.rows for run in row.runs}
        assert planned == {trial.folder for trial in read_sweep(sweep).trials}
        assert file.references


def test_table_1_holds_what_was_published(tmp_path: Path) -> None:
    output = tmp_path / "table.csv"
    assert main(["table", str(TABLE_1), "--output", str(output)]) == 0
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    published = [row for row in rows if row["published"] == "yes"]
    methods = list(dict.fromkeys(row["Method"] for row in published))
    assert len(methods) == 17 and methods[-1] == "MutualFormer"
    assert len({row["dataset"] for row in rows}) == 6
    assert len(published) == 17 * 6 * 4
    source = (TABLE_1.parent / "table1_rgbd_sod.csv").read_text().splitlines()[1:]
    scores = [line.split(",") for line in source if ",params_m," not in line]
    shown = {
        (row["Method"], row["dataset"], row["metric"]): float(row["value"])
        for row in published
        if row["value"]
    }
    assert shown == {tuple(line[:3]): float(line[3]) for line in scores}
    # As printed in the paper.
    assert shown["MutualFormer", "NJU2K", "s_measure"] == 0.922
    assert shown["MutualFormer", "LFSD", "mae"] == 0.062
    assert {row["Params (M)"] for row in rows if row["Method"] == "MutualFormer"} == {"52.05"}
    ours = [row["Method"] for row in rows if row["published"] == "no"]
    assert rows[len(published)]["Method"] == ours[0], "our rows stand next to the authors' one"


def test_table_1_says_that_published_numbers_were_not_recomputed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["table", str(TABLE_1)]) == 0
    printed = capsys.readouterr().out
    assert "MutualFormer †" in printed
    assert "† Published, not recomputed here: Table 1 of arXiv 2112.01177" in printed


def test_the_runs_of_table_1_are_made_by_shipped_configurations() -> None:
    configs = set()
    for row in read_table_file(TABLE_1).rows:
        for run in row.runs:
            words = shlex.split(run.command)
            assert words[:2] == ["mutualformer", "fit"]
            assert words[words.index("--trainer.default_root_dir") + 1] == str(run.folder)
            assert words[words.index("--seed_everything") + 1] == str(run.seed)
            configs.add(words[words.index("--config") + 1])
    assert len(configs) == 2
    for config in configs:
        recipe = yaml.safe_load((EXPERIMENTS.parent / config).read_text())
        tested = [Path(name).name for name in recipe["data"]["init_args"]["test_sets"]]
        assert tested == list(read_table_file(TABLE_1).datasets)
