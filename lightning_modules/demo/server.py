"""The page and what it asks for, served by this process to the browser."""

import base64
import socket
import traceback
from dataclasses import fields, replace
from typing import Any

import flask
import matplotlib
import numpy as np
import torch
from flask import Flask, request
from PIL import Image
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from lightning_modules.demo.exported_model import ExportedModel, Upload, png, to_image
from lightning_modules.demo.reading import INVALID_DEPTH, NEAR, Reading
from lightning_modules.report.affinity_figure import COLOURS, pixels_of_tokens
from lightning_modules.report.second_modality import as_heading
from mutualformer.errors import UserError

_MOST_BYTES = 200 * 2**20
# The browser itself refuses whatever is not of this page.
_POLICY = "default-src 'self'; img-src 'self' data: blob:"


def build_app(model: ExportedModel) -> Flask:
    """Return the page of a model, and its answers in JSON."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BYTES

    @app.get("/")
    def page() -> str:
        return flask.render_template(
            "page.html",
            model=model,
            second=as_heading(model.second_name),
            near=NEAR,
            invalid_depth=INVALID_DEPTH,
        )

    @app.post("/predict")
    def predict() -> dict[str, Any]:
        prediction = model.predict(*_given(model.reading))
        return {
            "name": prediction.name,
            "size": prediction.size,
            "remarks": prediction.remarks,
            "file": _url(prediction.file),
            "pictures": {
                **{x: _url(png(to_image(prediction.batch[x][0]))) for x in model.modalities},
                "map": _url(png(prediction.shown)),
                "overlay": _url(png(prediction.overlay)),
            },
        }

    @app.post("/affinities")
    def affinities() -> dict[str, Any]:
        if model.recorder is None:
            raise UserError("this network has no cross-diffusion attention, expected one that has")
        try:
            where = (float(request.form["y"]), float(request.form["x"]))
        except (KeyError, ValueError) as error:
            raise UserError("x and y are no numbers, expected a place in the image") from error
        uploads, reading = _given(model.reading)
        maps, token = model.affinities(uploads, reading, where)
        stride, sides = model.recorder.stride, reading.size()
        centre = [(x + 0.5) * stride / side for x, side in zip(token, sides, strict=True)]
        return {
            "token": [min(x, 1.0) for x in centre],
            "maps": [
                {"picture": _url(png(_in_colour(each, stride, sides))), "range": _range(each)}
                for each in maps
            ],
        }

    @app.errorhandler(UserError)
    def refuse(error: UserError) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 400

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Any:
        if isinstance(error, HTTPException):
            text = f"{error.code} {error.name}"
            if error.code == 413:
                text = f"the files are larger than {_MOST_BYTES >> 20} MiB, expected images"
            return {"error": text}, error.code
        traceback.print_exception(error)
        return {"error": f"{type(error).__name__}: {error} (more where the page is served)"}, 500

    @app.after_request
    def stay_here(response: flask.Response) -> flask.Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    return app


def serve(model: ExportedModel, host: str, port: int) -> None:
    """Serve the page until Ctrl+C.

    Raises:
        UserError: host and port cannot be listened on.
    """
    # Ours, because werkzeug would end the process where the port is taken.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # which repeats the address
        raise UserError(
            f"{host}, port {port} cannot be listened on ({reason}): choose another --port, or "
            "--port 0 for any that is free"
        ) from error
    with listening:
        server = make_server(
            *(host, port, build_app(model)),
            threaded=True,
            request_handler=_Quiet,
            fd=listening.fileno(),
        )
        shown = f"[{host}]" if ":" in host else host
        print(f"Open http://{shown}:{listening.getsockname()[1]} (Ctrl+C ends it)", flush=True)
        server.serve_forever()


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: Any) -> None:
        """Say nothing of requests that were answered."""


def _given(reading: Reading) -> tuple[dict[str, Upload], Reading]:
    """Return the files of a request, and how they are to be read where it says otherwise."""
    given = {name: request.files[name] for name in ("rgb", "depth") if name in request.files}
    uploads = {name: (file.filename or "", file.read()) for name, file in given.items()}
    names = {field.name for field in fields(reading)} & request.form.keys()
    return uploads, replace(reading, **{name: request.form[name] for name in names})


def _in_colour(values: torch.Tensor, stride: int, size: tuple[int, int]) -> Image.Image:
    """Return values of tokens as a picture, from the smallest (dark) to the largest (bright)."""
    pixels = pixels_of_tokens(values.numpy(), stride, size)
    scaled = (pixels - pixels.min()) / max(np.ptp(pixels), np.finfo(np.float32).tiny)
    return Image.fromarray(matplotlib.colormaps[COLOURS](scaled, bytes=True)[..., :3])


def _range(values: torch.Tensor) -> str:
    low, high = (float(x) * values.numel() for x in values.aminmax())
    return f"{low:.2f} – {high:.2f}"


def _url(file: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"
