"""How a client reaches a server; values are nested lists of text, numbers and booleans."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

from pipelines.runtime.errors import InputError, in_one_line

_CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 412: "FAILED_PRECONDITION"}


class ServerError(InputError):
    """The error for a server that cannot be reached or refuses to answer.

    Args:
        message: one sentence.
        code: name of a gRPC status.
    """

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


class RestTransport:
    """JSON over HTTP.

    Args:
        url: URL of the server, up to the port.
        model: name of the model.
        version: version to query; None for the latest.
        label: label of a version, or None.
        timeout: seconds to wait for an answer.
    """

    def __init__(
        self, url: str, model: str, version: int | None, label: str | None, timeout: float
    ):
        url = url if "://" in url else f"http://{url}"
        self._server = url.rstrip("/")
        self._url = f"{self._server}/v1/models/{_quoted(model)}"
        if version is not None:
            self._url += f"/versions/{version}"
        if label is not None:
            self._url += f"/labels/{_quoted(label)}"
        self._timeout = timeout

    def predict(self, signature: str, inputs: dict[str, list]) -> dict[str, list]:
        """Calls a signature and returns its outputs."""
        body = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        return self._field("outputs", ":predict", body)

    def status(self) -> dict[int, str]:
        """Returns the states by version."""
        told = self._field("model_version_status", "", None)
        try:
            return {int(version["version"]): version["state"] for version in told}
        except (LookupError, TypeError, ValueError) as error:
            raise self._unexpected() from error

    def _field(self, name, what, body):
        answer = self._ask(what, body)
        if not isinstance(answer, dict) or name not in answer:
            raise self._unexpected()
        return answer[name]

    def _unexpected(self):
        return ServerError(
            f"{self._server} does not answer like TensorFlow Serving; is it one?", "UNKNOWN"
        )

    def _ask(self, what, body):
        headers = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self._url + what, body, headers)
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                return json.load(response)
        except RecursionError as error:  # nested deeper than any answer is
            raise self._unexpected() from error
        except urllib.error.HTTPError as error:
            message = _told(error)
            code = _CODES.get(error.code, "UNKNOWN")
            raise ServerError(f"{self._server} says: {message}", code) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ServerError(
                f"no answer from {self._server} ({reason}); is a server running there?",
                "UNAVAILABLE",
            ) from error


class GrpcTransport:
    """gRPC, with TensorFlow Serving's own stubs.

    Args:
        address: HOST:PORT.
        model: name of the model.
        version: version to query; None for the latest.
        label: label of a version, or None.
        timeout: seconds to wait for an answer.
    """

    def __init__(
        self, address: str, model: str, version: int | None, label: str | None, timeout: float
    ):
        import grpc
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        self._address = address
        self._spec = {"name": model}
        if version is not None:
            self._spec["version"] = {"value": version}
        if label is not None:
            self._spec["version_label"] = label
        self._timeout = timeout
        unlimited = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(address, unlimited)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, signature: str, inputs: dict[str, list]) -> dict[str, list]:
        """Calls a signature and returns its outputs."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest(model_spec={**self._spec, "signature_name": signature})
        for name, value in inputs.items():
            try:
                kind = tf.int64 if name == "times" else None
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value, kind))
            # Unpaired surrogates, or numbers of more than 64 bits.
            except (TypeError, ValueError, OverflowError) as error:
                raise ServerError(
                    f"{name} cannot be sent ({in_one_line(error)}); send text or numbers that "
                    "TensorFlow can hold.",
                    "INVALID_ARGUMENT",
                ) from error
        response = self._ask(self._predictions.Predict, request)
        return {name: _nested(tf.make_ndarray(value)) for name, value in response.outputs.items()}

    def status(self) -> dict[int, str]:
        """Returns the states by version."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec)
        told = self._ask(self._models.GetModelStatus, request).model_version_status
        states = get_model_status_pb2.ModelVersionStatus.State
        return {version.version: states.Name(version.state) for version in told}

    def _ask(self, call, request):
        import grpc

        try:
            return call(request, timeout=self._timeout)
        except grpc.RpcError as error:
            code = error.code().name
            if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                message = f"no answer from {self._address}; is a server running there?"
            else:
                message = f"{self._address} says: {error.details()}"
            raise ServerError(message, code) from error


def _nested(array):
    values = array.tolist()
    return _text(values) if array.dtype.kind in "OSU" else values


def _text(values):
    if isinstance(values, list):
        return [_text(value) for value in values]
    return values.decode(errors="replace")


def _told(error):
    """Returns the server's message about an HTTP error, or else the error itself as text."""
    try:
        return json.load(error)["error"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return str(error)


def _quoted(name):
    return urllib.parse.quote(name, safe="")
