"""TensorFlow Serving's gRPC services, for its own stubs, and gRPC's health check."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from pipelines.serving.limits import MAX_AXES, MAX_BYTES, connection_limits
from pipelines.serving.messages import SIGNATURES, check_name, model_status, signature_map
from pipelines.serving.request_error import RequestError
from pipelines.serving.served_model import ServedModel

# Where a `TensorProto` keeps its values. TensorFlow Serving fills these and not `tensor_content`,
# and some clients read only these.
_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int64: "int64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}
_HANDSHAKE_MILLISECONDS = 10_000
_IDLE_MILLISECONDS = 300_000
_SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


def make_grpc_server(
    model: ServedModel, threads: int, ailment: Callable[[], str] = lambda: ""
) -> grpc.Server:
    """Returns a gRPC server with the services of a model, without a port.

    Args:
        model: what is served.
        threads: number of requests to answer in parallel.
        ailment: returns what is wrong with the server, "" if it is healthy.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(threads, thread_name_prefix="hmar-grpc"),
        options=[
            ("grpc.so_reuseport", 0),  # otherwise a second server would take half of the requests
            ("grpc.max_receive_message_length", MAX_BYTES),
            # Silent connections must not use up the descriptors of others.
            ("grpc.max_allowed_incoming_connections", connection_limits()[1]),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MILLISECONDS),
            ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
            ("grpc.max_send_message_length", -1),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(model), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(model), server)
    health = grpc.unary_unary_rpc_method_handler(functools.partial(_check_health, ailment))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": health})]
    )
    return server


def _answers_errors(method):
    """Turns a `RequestError` into the gRPC status that it names."""

    @functools.wraps(method)
    def call(self, request, context):
        try:
            return method(self, request, context)
        except RequestError as error:
            context.abort(getattr(grpc.StatusCode, error.code), error.message)

    return call


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """TensorFlow Serving's prediction service, for one model."""

    def __init__(self, model: ServedModel):
        self._model = model

    @_answers_errors
    def Predict(self, request, context):
        """Calls a signature."""
        spec = request.model_spec
        check_name(self._model, spec.name)
        with self._model.lease(*_asked(spec)) as (number, version):
            signature = version.signature(spec.signature_name)
            for key, tensor in request.inputs.items():
                signature.check_declared(key, *_declared(key, tensor))
            signature.check_names(request.inputs)
            inputs = {name: _array(name, tensor) for name, tensor in request.inputs.items()}
            outputs = signature(inputs, request.output_filter)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = self._model.name
        response.model_spec.version.value = number
        response.model_spec.signature_name = signature.name
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(_tensor(array))
        return response

    @_answers_errors
    def GetModelMetadata(self, request, context):
        """Returns the signatures of the model."""
        check_name(self._model, request.model_spec.name)
        if list(request.metadata_field) != [SIGNATURES]:
            raise RequestError(
                "INVALID_ARGUMENT", f"metadata_field must be {SIGNATURES!r}, the only one."
            )
        with self._model.lease(*_asked(request.model_spec)) as (number, version):
            signatures = signature_map(version)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self._model.name
        response.model_spec.version.value = number
        response.metadata[SIGNATURES].Pack(signatures)
        return response

    def _refuse(self, request, context):
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "an exported recommender supports only Predict; its signature 'examples' takes "
            "tf.train.Examples.",
        )

    Classify = Regress = MultiInference = _refuse


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """TensorFlow Serving's model service, for one model."""

    def __init__(self, model: ServedModel):
        self._model = model

    @_answers_errors
    def GetModelStatus(self, request, context):
        """Returns the states of the versions."""
        check_name(self._model, request.model_spec.name)
        return model_status(self._model, *_asked(request.model_spec))

    def HandleReloadConfigRequest(self, request, context):
        """Refuses the request, which only TensorFlow Serving supports."""
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "hmar serve reads its model and labels when it starts, and new versions from the "
            "directory; restart it to change the former.",
        )


def _asked(spec):
    """Returns version and label of a `ModelSpec`, None where it names none."""
    choice = spec.WhichOneof("version_choice")
    return (
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


def _declared(name, tensor):
    """Returns the declared type and shape of a tensor, without reading its values."""
    try:
        dtype = tf.as_dtype(tensor.dtype)
    except TypeError as error:
        raise RequestError(
            "INVALID_ARGUMENT", f"input {name!r} has the unknown type {tensor.dtype}."
        ) from error
    if tensor.tensor_shape.unknown_rank:
        raise RequestError("INVALID_ARGUMENT", f"input {name!r} does not declare its shape.")
    # One axis above the limit shows that there are too many; a message may hold millions.
    return dtype, [axis.size for axis in tensor.tensor_shape.dim[: MAX_AXES + 1]]


def _array(name, tensor):
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise RequestError(
            "INVALID_ARGUMENT", f"input {name!r} is not a tensor ({error})."
        ) from error


def _tensor(array):
    dtype = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
    if dtype not in _FIELDS:
        return tf.make_tensor_proto(array)
    tensor = tf.make_tensor_proto(np.empty(0, array.dtype), dtype, shape=[0])
    del tensor.tensor_shape.dim[:]
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, _FIELDS[dtype]).extend(array.ravel().tolist())
    return tensor


def _check_health(ailment, request, context):
    """Answers `grpc.health.v1.Health/Check`, whose messages are small enough to read as bytes."""
    # Field 1 of the request is the name of a service, "" for the server.
    service = request[2:].decode(errors="replace")
    if service and service not in _SERVICES:
        context.abort(grpc.StatusCode.NOT_FOUND, f"no service {service!r}")
    return b"\x08\x02" if ailment() else b"\x08\x01"  # field 1, NOT_SERVING or SERVING
