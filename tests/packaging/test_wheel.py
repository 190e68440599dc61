"""What would be released: a wheel, made of the source distribution, used without the repository."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a clone: which files belong to the project is unknown")
    folder = tmp_path_factory.mktemp("packaging")
    command = ["git", "checkout-index", "--all", f"--prefix={folder}/source/"]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    _build("sdist", folder / "source", folder)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, filter="data")
    _build("wheel", sdist.with_name(sdist.name.removesuffix(".tar.gz")), sdist.parent)
    return next(sdist.parent.glob("*.whl"))


def _build(what: str, source: Path, folder: Path) -> None:
    command = [sys.executable, "-c", BUILD.format(what), str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module")
def mutualformer(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the wheel's command in an empty folder."""
    site, folder = wheel.parent / "site", tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lightning_modules.main", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )

    return run


def test_the_sdist_has_all_files_of_the_repository(sdist):
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True).stdout
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    missing = set(filter(None, listed.split("\0"))) - packed
    assert missing <= {".ci/run", ".gitignore"}


def test_the_wheel_has_experiments_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    of_experiments = {x for x in names if x.startswith("lightning_modules/experiments/")}
    here = REPOSITORY / "experiments"
    assert of_experiments == {
        f"lightning_modules/experiments/{path.relative_to(here).as_posix()}"
        for path in here.rglob("*")
        if path.is_file()
    }
    page = {x.rpartition("/")[2] for x in names if "/demo/" in x and not x.endswith(".py")}
    assert page == {"page.html", "page.css", "page.js"}
    top = {name.split("/")[0] for name in names}
    assert {x for x in top if "dist-info" not in x} == {
        *("mutualformer", "lightning_modules", "datamodules")
    }


def test_twine_finds_nothing_to_complain(sdist, wheel):
    pytest.importorskip("twine", reason="twine is not installed")
    command = [sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_it_trains_and_fills_tables_from_another_folder(mutualformer):
    names = ["--config", "synthetic_cpu", "--config", "overlays/smoke"]
    weights = ["--model.network.encoder_weights=null"]
    done = mutualformer("fit", *names, *weights, "--trainer.default_root_dir", "runs/smoke")
    assert done.returncode == 0, done.stderr
    done = mutualformer("table", "experiments/tables/probe_gap.yaml", "--format", "markdown")
    assert done.returncode == 0 and "80 of 80 runs" in done.stdout, done.stderr
    kept = mutualformer("table", "probe_gap", "--keep")
    assert kept.returncode == 2 and "is part of an installed package" in kept.stderr
