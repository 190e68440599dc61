"""The page used as a person uses it, in a real browser without a window."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from exports import write_export, write_pair

from lightning_modules.demo.exported_model import ExportedModel

pytest.importorskip("flask", reason="flask is not installed")
from werkzeug.serving import make_server  # noqa: E402

from lightning_modules.demo.server import build_app  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(tmp_path)
    yield browser
    browser.close()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    classes = {"classes": ["floor", "wall", "mat"]}
    model = ExportedModel(write_export(tmp_path / "export", label_map=classes, num_classes=3))
    server = make_server("127.0.0.1", 0, build_app(model), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_pair_is_shown_a_token_chosen_and_a_mistake_said(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    files = write_pair(tmp_path / "pair")
    browser.open(address)
    browser.choose_file("[name=rgb]", files["rgb"])
    browser.wait_for("message.textContent.startsWith('no depth image is given')")
    assert browser.get("message.className") == ""  # which is no mistake yet
    browser.choose_file("[name=depth]", files["depth"])
    browser.wait_for("!result.hidden && [...document.images].every(x => x.complete)")
    widths = "[...document.querySelectorAll('[data-picture]')].map(x => x.naturalWidth)"
    assert browser.get(widths) == [64, 64, 80, 80]
    assert browser.get("document.getElementById('file').download") == "scene.png"

    # At the same place of each picture, in heights of the image, whatever is below it.
    places = """[...document.querySelectorAll('.frame')].map(frame => {
        const [ring, image] = ['i', 'img'].map(x => frame.querySelector(x));
        const [inner, outer] = [ring, image].map(x => x.getBoundingClientRect());
        return (inner.top + inner.height / 2 - outer.top) / outer.height * tall(image) })"""
    for picture in ("rgb", "overlay"):
        y = 0.3 / browser.get(f"tall(document.querySelector('[data-picture={picture}]'))")
        browser.get("affinities.hidden = true")
        browser.click(f"[data-picture={picture}]", 0.7, y)
        browser.wait_for("!affinities.hidden")
        assert browser.get(places) == pytest.approx([2.5 * 8 / 64] * 8, abs=0.02)
    ranges = "[...affinities.querySelectorAll('span')].map(x => x.textContent)"
    assert all("–" in text for text in browser.get(ranges))
    browser.get("affinities.hidden = true")
    browser.click("[data-picture=overlay]", 0.5, 0.99)  # the legend, which is no place
    assert browser.get("affinities.hidden")

    browser.choose_file("[name=depth]", files["rgb"])
    browser.wait_for("message.className === 'error'")
    assert "coloured" in browser.get("message.textContent") and browser.get("result.hidden")

    assert not [x for x in browser.requests if not x.startswith((address, "data:"))]
    assert len([x for x in browser.requests if x.startswith(address)]) >= 6
    elsewhere = "fetch('http://127.0.0.2:9/').catch(() => { window.refused = true })"
    browser.get(f"{elsewhere}; 0")
    browser.wait_for("window.refused")  # by the page's own policy
    policy = [x for x in browser.complaints if "Content Security Policy" in x]
    expected = [x for x in browser.complaints if "400 (BAD REQUEST)" in x]
    assert policy and len(policy) + len(expected) == len(browser.complaints)
