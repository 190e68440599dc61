"""A headless Chromium that tests drive by its own protocol, over a pipe: no package is needed."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
_SECONDS = 60


class Browser:
    """One page of a browser.

    Args:
        folder: for what the browser keeps, such as the picture of a failure.

    Attributes:
        requests: addresses that the page has asked for.
        complaints: errors that it has met, in its console and in its code.
    """

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        to_browser, ours = os.pipe()
        self._answers, from_browser = os.pipe()
        self._commands = ours
        # The protocol is spoken on file descriptors 3 and 4.
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        flags = [
            *("--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            f"--user-data-dir={folder / 'chromium'}",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", CHROMIUM, *flags, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        pages = [x for x in self.send("Target.getTargets")["targetInfos"] if x["type"] == "page"]
        attached = self.send("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "DOM", "Log"):
            self.send(f"{domain}.enable")
        metrics = {"width": 1000, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)

    def send(self, method: str, **parameters: Any) -> Any:
        """Give a command of the protocol; returns its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._receive()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], _SECONDS)
            chunk = os.read(self._answers, 1 << 20) if ready else b""
            assert chunk, "the browser does not answer"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        heard = json.loads(line)
        event, about = heard.get("method"), heard.get("params", {})
        if event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        elif event == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        return heard

    def open(self, address: str) -> None:
        """Go to a page."""
        self.send("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def get(self, expression: str) -> Any:
        """Return the value of an expression in JavaScript."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + _SECONDS
        while not self.get(f"Boolean({condition})"):
            shown = self.get("document.body.innerText")
            assert time.monotonic() < end, f"never true: {condition}. The page says: {shown}"
            time.sleep(0.05)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field of a form, as a person does."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Click into an element, at fractions of its width and height."""
        box = self.get(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect(); "
            "return [b.left, b.top, b.width, b.height] })()"
        )
        place = {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def picture(self, path: Path, dark: bool = False) -> None:
        """Write what the page looks like."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        shot = self.send("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser."""
        try:
            self.send("Browser.close")
        except (AssertionError, OSError):
            self._process.kill()
        os.close(self._commands)
        os.close(self._answers)
        self._process.wait(timeout=_SECONDS)
