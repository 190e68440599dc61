"""Files and fields that the page refuses or remarks on: in a sentence, and it goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import ask, page_of, write_pair
from PIL import Image

from lightning_modules.demo.exported_model import ExportedModel

pytest.importorskip("flask", reason="flask is not installed")


@pytest.mark.parametrize("place", [{}, {"x": "0.5"}, {"x": "a", "y": "1"}, {"x": "nan", "y": 2}])
def test_a_place_that_is_none_is_refused(
    place: dict[str, Any], model: ExportedModel, tmp_path: Path
) -> None:
    answer = ask(model, write_pair(tmp_path / "pair"), "/affinities", **place)
    assert answer.status_code == 400 and "expected" in answer.json["error"]


def spoil_rgb_for_depth(files: dict[str, Path]) -> None:
    files["depth"].write_bytes(files["rgb"].read_bytes())


def spoil_swap(files: dict[str, Path]) -> None:
    files["rgb"], files["depth"] = files["depth"], files["rgb"]


def spoil_cut(files: dict[str, Path]) -> None:
    files["rgb"].write_bytes(files["rgb"].read_bytes()[:3000])


def spoil_text(files: dict[str, Path]) -> None:
    files["depth"].write_text("<!doctype html><title>404</title>")


def spoil_empty(files: dict[str, Path]) -> None:
    files["depth"].write_bytes(b"")


def spoil_turned(files: dict[str, Path]) -> None:
    Image.open(files["depth"]).transpose(Image.Transpose.ROTATE_90).save(files["depth"])


def spoil_animated(files: dict[str, Path]) -> None:
    frames = [Image.new("L", (80, 48), level) for level in (9, 99)]
    frames[0].save(files["depth"], format="GIF", save_all=True, append_images=frames[1:])


def spoil_pickled(files: dict[str, Path]) -> None:
    files["depth"] = files["depth"].with_suffix(".npy")
    np.save(files["depth"], np.array([{}], object), allow_pickle=True)


def spoil_missing(files: dict[str, Path]) -> None:
    del files["depth"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_rgb_for_depth, "depth/scene_depth.png: coloured"),
        (spoil_swap, "rgb/scene_depth.png: a colour image with values of mode I"),
        (spoil_cut, "rgb/scene.png: cannot be read as an image"),
        (spoil_text, "a web page"),
        (spoil_empty, "the file is empty"),
        (spoil_turned, "has 80 × 48 pixels (height × width) and the RGB image 48 × 80"),
        (spoil_animated, "holds 2 images"),
        (spoil_pickled, "depth/scene_depth.npy"),
        (spoil_missing, "no depth image is given"),
    ],
)
def test_images_that_make_no_pair_are_refused_by_name(
    spoil: Any, words: str, model: ExportedModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = write_pair(tmp_path / "pair")
    whole = dict(files)
    good = ask(model, whole).json
    spoil(files)
    answer = ask(model, files)
    assert answer.status_code == 400 and words in answer.json["error"]
    assert "/tmp" not in answer.json["error"] and "Traceback" not in capfd.readouterr().err
    assert ask(model, write_pair(tmp_path / "pair")).json == good  # and the page goes on


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("image_size", x) for x in ("", "x", "31", "-64", "64,64,64", "99999", "6٤4x")),
        *(("depth_range", x) for x in ("5", "a,b", "9,3", "nan,1", "1,2,3")),
        *(("near", "up"), ("invalid_depth", "some")),
    ],
)
def test_fields_outside_their_range_are_named(
    field: str, value: str, model: ExportedModel, tmp_path: Path
) -> None:
    answer = ask(model, write_pair(tmp_path / "pair"), **{field: value})
    assert answer.status_code == 400
    assert answer.json["error"].startswith(f"{field} is ") and "expected" in answer.json["error"]


def test_what_predict_warns_of_is_remarked(model: ExportedModel, tmp_path: Path) -> None:
    files = write_pair(tmp_path / "pair")
    Image.new("L", (80, 48), 7).save(files["depth"])
    (remark,) = ask(model, files).json["remarks"]
    assert remark.startswith("depth/scene_depth.png: no two different values")


def test_one_file_may_hold_both(model: ExportedModel, tmp_path: Path) -> None:
    files = write_pair(tmp_path / "pair")
    both = Image.open(files["rgb"])
    both.putalpha(Image.linear_gradient("L").resize(both.size))
    both.save(files["rgb"])
    assert ask(model, {"rgb": files["rgb"]}).status_code == 200


@pytest.mark.parametrize("name", ["../../x.png", "C:\\a\\b.png", "", "..", "a\0b.png", "é" * 300])
def test_any_name_of_a_file_will_do(name: str, model: ExportedModel, tmp_path: Path) -> None:
    files = {role: (name, path.read_bytes()) for role, path in write_pair(tmp_path / "p").items()}
    assert model.predict(files, model.reading).size == (48, 80)


def test_a_defect_is_told_from_a_mistake(
    model: ExportedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(model, "_pair", lambda files: 1 / 0)
    answer = ask(model, write_pair(tmp_path / "pair"))
    assert answer.status_code == 500 and "ZeroDivisionError" in answer.json["error"]
    assert "Traceback" in capfd.readouterr().err
    assert page_of(model).get("/nowhere").json == {"error": "404 Not Found"}
