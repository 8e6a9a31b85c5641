"""A page on which one builds a history and sees what the model answers, and why."""

from __future__ import annotations

import bisect
import functools
import json
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from pipelines.export import METADATA
from pipelines.export.warmup import PLACE
from pipelines.json_text import parse_json
from pipelines.serving.served_model import ServedModel

_FILES = Path(__file__).parent / "page"
_SUGGESTIONS = 50
# Nothing is loaded from elsewhere, and nothing that a name holds is run.
_POLICY = "default-src 'self'; img-src data:; frame-ancestors 'self'; base-uri 'none'"


class WebPage:
    """A WSGI application that answers the page's requests and hands on all others.

    Args:
        model: what is served.
        others: the application that answers them.
    """

    def __init__(self, model: ServedModel, others):
        self._model = model
        self._others = others
        files = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
        rules = [
            Rule(path, endpoint=functools.partial(_file, name), methods=["GET"])
            for path, name in files.items()
        ]
        rules += [
            Rule("/model", endpoint=self._about, methods=["GET"]),
            Rule("/catalogue", endpoint=self._catalogue, methods=["GET"]),
        ]
        self._routes = Map(rules)

    def __call__(self, environ, start_response):
        """Answers a request of WSGI."""
        try:
            endpoint, _ = self._routes.bind_to_environ(environ).match()
        except HTTPException:
            return self._others(environ, start_response)
        response = endpoint(Request(environ))
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response(environ, start_response)

    def _about(self, request):
        with self._model.lease() as (number, _):
            version = self._model.directory / str(number)
            metadata = parse_json((version / METADATA).read_bytes())
            about = {
                "name": self._model.name,
                "version": number,
                "items": len(_sorted_items(version)),
                "behaviors": metadata["config"]["behaviors"]["names"],
                "examples": _examples(version),
            }
        return _json(about)

    def _catalogue(self, request):
        begins = request.args.get("begins", "")
        with self._model.lease() as (number, _):
            items = _sorted_items(self._model.directory / str(number))
        first = bisect.bisect_left(items, begins)
        found = [item for item in items[first : first + _SUGGESTIONS] if item.startswith(begins)]
        return _json({"items": found})


def _file(name, request):
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    path = _FILES / name
    return Response(path.read_bytes(), mimetype=kinds[path.suffix])


def _json(content):
    return Response(json.dumps(content, ensure_ascii=False), mimetype="application/json")


@functools.lru_cache(maxsize=2)
def _sorted_items(version: Path) -> list[str]:
    return sorted((version / "assets" / "items.txt").read_text().split("\n")[:-1])


@functools.lru_cache(maxsize=2)
def _examples(version: Path) -> list[list[tuple[str, str]]]:
    """The real histories that the export is warmed up with, as `(item, behaviour)`."""
    if not (version / PLACE).exists():
        return []
    histories = []
    for record in tf.data.TFRecordDataset(str(version / PLACE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        if request.model_spec.signature_name == "recommend":
            columns = [tf.make_ndarray(request.inputs[name]) for name in ("items", "behaviors")]
            rows = zip(*columns, strict=True)
            histories = [_named(items, behaviors) for items, behaviors in rows]
    return histories  # of the largest batch, which is the last


def _named(items, behaviors):
    pairs = zip(items.tolist(), behaviors.tolist(), strict=True)
    return [(item.decode(), behavior.decode()) for item, behavior in pairs if item]
