"""TensorFlow Serving's REST routes, as a WSGI application."""

from __future__ import annotations

import http
import json
from collections.abc import Callable

import numpy as np
from google.protobuf import json_format
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from pipelines.serving.json_tensors import parse_request, to_arrays, to_json
from pipelines.serving.messages import SIGNATURES, check_name, model_status, signature_map
from pipelines.serving.request_error import RequestError
from pipelines.serving.served_model import ServedModel

_STATUSES = {
    "FAILED_PRECONDITION": http.HTTPStatus.BAD_REQUEST,  # as TensorFlow Serving has it
    "INVALID_ARGUMENT": http.HTTPStatus.BAD_REQUEST,
    "NOT_FOUND": http.HTTPStatus.NOT_FOUND,
    "RESOURCE_EXHAUSTED": http.HTTPStatus.TOO_MANY_REQUESTS,
    "UNAVAILABLE": http.HTTPStatus.SERVICE_UNAVAILABLE,
    "UNIMPLEMENTED": http.HTTPStatus.NOT_IMPLEMENTED,
}
_MODEL = ("/v1/models/<name>", "/versions/<int:version>", "/labels/<label>")


class RestService:
    """Answers requests under `/v1/models/NAME`, and `/healthz`.

    Args:
        model: what is served.
        ailment: returns what is wrong with the server, "" if it is healthy.
    """

    def __init__(self, model: ServedModel, ailment: Callable[[], str] = lambda: ""):
        self._model = model
        self._ailment = ailment
        rules = [Rule("/healthz", endpoint=self._health, methods=["GET"])]
        for which in ("", *_MODEL[1:]):
            path = _MODEL[0] + which
            rules += [
                Rule(path, endpoint=self._status, methods=["GET"]),
                Rule(path + "/metadata", endpoint=self._metadata, methods=["GET"]),
                Rule(path + ":predict", endpoint=self._predict, methods=["POST"]),
                Rule(path + ":classify", endpoint=self._refuse, methods=["POST"]),
                Rule(path + ":regress", endpoint=self._refuse, methods=["POST"]),
            ]
        self._routes = Map(rules)

    def __call__(self, environ, start_response):
        """Answers a WSGI request."""
        request = Request(environ)
        try:
            answer, status = self._answer(request), http.HTTPStatus.OK
        except RequestError as error:
            answer = {"error": error.message}
            status = _STATUSES.get(error.code, http.HTTPStatus.INTERNAL_SERVER_ERROR)
        except HTTPException as error:
            answer = {"error": f"there is no {request.method} {request.path} here."}
            status = error.code
        # Item names stay readable; NaN would not be valid JSON.
        body = json.dumps(answer, ensure_ascii=False, allow_nan=False)
        return Response(body, status, mimetype="application/json")(environ, start_response)

    def _answer(self, request):
        endpoint, values = self._routes.bind_to_environ(request.environ).match()
        if "name" in values:
            check_name(self._model, values.pop("name"))
        return endpoint(request, **values)

    def _health(self, request):
        ailment = "the server is stopping." if self._model.is_stopping else self._ailment()
        if ailment:
            raise RequestError("UNAVAILABLE", ailment)
        if not self._model.has_latest:
            raise RequestError("UNAVAILABLE", "no version of the model is loaded.")
        with self._model.lease() as (number, _):
            return {"status": "serving", "model": self._model.name, "version": str(number)}

    def _status(self, request, version=None, label=None):
        return _as_json(model_status(self._model, version, label))

    def _metadata(self, request, version=None, label=None):
        with self._model.lease(version, label) as (number, loaded):
            signatures = _as_json(signature_map(loaded))
        spec = {"name": self._model.name, "signature_name": "", "version": str(number)}
        return {"model_spec": spec, "metadata": {SIGNATURES: signatures}}

    def _predict(self, request, version=None, label=None):
        name, form, content = parse_request(request.get_data())
        with self._model.lease(version, label) as (_, loaded):
            signature = loaded.signature(name)
            dtypes = {
                key: np.dtype(spec.dtype.as_numpy_dtype) for key, spec in signature.inputs.items()
            }
            outputs = signature(to_arrays(form, content, dtypes))
        return to_json(form, outputs)

    def _refuse(self, request, version=None, label=None):
        raise RequestError("UNIMPLEMENTED", "an exported recommender supports only :predict.")


def _as_json(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
