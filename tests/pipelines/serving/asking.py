"""Queries a server without the project's own client."""

import http.client
import json

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

HISTORIES = [
    [("i3", "view"), ("i7", "view"), ("i3", "cart"), ("i9", "view")],
    [("i1", "view")],
    [("i5", "buy"), ("i6", "view"), ("nothing", "view"), ("i2", "view"), ("i30", "cart")],
]


def columns(histories=HISTORIES):
    """Returns items and behaviours `[batch, events]`, left-padded."""
    longest = max(len(history) for history in histories)
    rows = [[("", "")] * (longest - len(history)) + history for history in histories]
    return {
        "items": [[item for item, _ in row] for row in rows],
        "behaviors": [[behavior for _, behavior in row] for row in rows],
    }


def predict_request(inputs, name="shop", signature="", version=None, label=None, outputs=()):
    request = predict_pb2.PredictRequest(
        model_spec={"name": name, "signature_name": signature, "version_label": label},
        output_filter=outputs,
    )
    if version is not None:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def ask_grpc(address, inputs, **spec):
    """Returns the outputs as arrays, through TensorFlow Serving's stub."""
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(predict_request(inputs, **spec), timeout=60)
    return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}


def ask_rest(server, path, body=None):
    """Returns the status and the answer of a request."""
    connection = http.client.HTTPConnection(server.host, server.rest_port, timeout=60)
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, text)
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "application/json"

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    answer = json.loads(response.read(), parse_constant=refuse)
    connection.close()
    return response.status, answer
