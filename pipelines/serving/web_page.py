"""A page for building a history and seeing what the model recommends, and why."""

from __future__ import annotations

import bisect
import functools
import ipaddress
import json
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from pipelines.export.model_card import parse_metadata
from pipelines.export.warmup import PLACE
from pipelines.serving.request_error import RequestError, sendable
from pipelines.serving.served_model import ServedModel

_FILES = Path(__file__).parent / "page"
_SUGGESTIONS = 50
# Nothing is loaded from other hosts, and no script in an item name is run.
_POLICY = "default-src 'self'; img-src data:; frame-ancestors 'self'; base-uri 'none'"


class WebPage:
    """A WSGI application that answers the page's requests and passes on all others.

    Args:
        model: what is served.
        others: the application that answers the other requests.
        host: the address that the server listens on.
    """

    def __init__(self, model: ServedModel, others, host: str = "127.0.0.1"):
        self._model = model
        self._host = host
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
        """Answers a WSGI request."""
        # Against DNS rebinding: a page elsewhere can point its own host name to this machine, and
        # could then read everything here.
        name = _host_name(environ.get("HTTP_HOST", "localhost"))
        if not _is_own(name, self._host):
            text = f"{name!r} is not a name of this server; use its address, or give --host."
            return _error(403, text)(environ, start_response)
        try:
            endpoint, _ = self._routes.bind_to_environ(environ).match()
        except HTTPException:
            return self._others(environ, start_response)
        try:
            response = endpoint(Request(environ))
        except RequestError as error:
            response = _error(503, error.message)
        except (OSError, ValueError, LookupError, tf.errors.OpError) as error:
            reason = f"the page needs the version's files, which cannot be read ({error})."
            response = _error(503, reason)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response(environ, start_response)

    def _about(self, request):
        with self._model.lease() as (number, loaded):
            version = loaded.directory
            metadata = parse_metadata(version)
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
        with self._model.lease() as (_, loaded):
            items = _sorted_items(loaded.directory)
        first = bisect.bisect_left(items, begins)
        found = [item for item in items[first : first + _SUGGESTIONS] if item.startswith(begins)]
        return _json({"items": found})


def _file(name, request):
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    path = _FILES / name
    return Response(path.read_bytes(), mimetype=kinds[path.suffix])


def _json(content, status=200):
    text = json.dumps(content, ensure_ascii=False)
    return Response(text, status, mimetype="application/json")


def _error(status, text):
    return _json({"error": sendable(text)}, status)


def _host_name(header):
    """Returns the name in a `Host` header, without port and brackets."""
    name = header.partition("]")[0][1:] if header.startswith("[") else header.partition(":")[0]
    return name.lower().rstrip(".")


def _is_own(name, host):
    """Returns whether a name leads here without being resolved by somebody else's DNS."""
    if name == "localhost" or name.endswith(".localhost") or name == host.lower().strip("[]"):
        return True
    try:
        address, given = ipaddress.ip_address(name), _address(host)
    except ValueError:
        return False
    return address.is_loopback or (given is not None and given.is_unspecified)


def _address(host):
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@functools.lru_cache(maxsize=2)
def _sorted_items(version: Path) -> list[str]:
    return sorted((version / "assets" / "items.txt").read_text().split("\n")[:-1])


@functools.lru_cache(maxsize=2)
def _examples(version: Path) -> list[list[tuple[str, str]]]:
    """Returns the real histories of the export's warm-up requests, as `(item, behaviour)`."""
    if not (version / PLACE).exists():
        return []
    histories = []
    for record in tf.data.TFRecordDataset(str(version / PLACE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        if request.model_spec.signature_name == "recommend":
            columns = [tf.make_ndarray(request.inputs[name]) for name in ("items", "behaviors")]
            rows = zip(*columns, strict=True)
            histories = [_named(items, behaviors) for items, behaviors in rows]
    return histories  # of the last batch, which is the largest


def _named(items, behaviors):
    pairs = zip(items.tolist(), behaviors.tolist(), strict=True)
    return [(item.decode(), behavior.decode()) for item, behavior in pairs if item]
