"""Random requests, in this process: whatever is sent, the server answers or says what is wrong."""

import base64
import json
import random

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from werkzeug.test import Client as WsgiClient

from pipelines.serving.grpc_service import PredictionService
from pipelines.serving.rest_service import RestService
from pipelines.serving.served_model import ServedModel

from .asking import columns, predict_request

# Enough to meet every kind of damage, and quick; a thorough run has ten times as many.
REST_REQUESTS, GRPC_MESSAGES, EXAMPLES = 1_000, 500, 150
SIGNATURES = ["serving_default", "recommend", "rank", "behavior", "explain", "examples", "", "nope"]
VALUES = ["", "i3", "view", "\ud83d", "é", "a" * 300, None, True, -1, 0, 1.5, 2**31, 2**64, {}, []]


class Refused(Exception):
    """As gRPC's own, which ends a call."""


class Context:
    """As much of gRPC's as the services use."""

    def abort(self, code, details):
        raise Refused(code, details)


@pytest.fixture(scope="module")
def model(exports):
    model = ServedModel(exports[0].parent, "shop")
    model.refresh()
    return model


def some_value(rng, depth=0):
    """JSON of any form, lists most of all."""
    if depth < 3 and rng.random() < 0.5:
        return [some_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if rng.random() < 0.1:
        return {"b64": rng.choice(["1g==", "%", base64.b64encode(rng.randbytes(9)).decode()])}
    return rng.choice(VALUES)


def some_body(rng):
    """A good request with some of it replaced, dropped or, in one of four, damaged as text."""
    question = columns() | {"k": [3, 2, 1]}
    for name in rng.sample([*question, "candidates", "examples"], rng.randrange(4)):
        question[name] = some_value(rng)
    body = {"signature_name": rng.choice(SIGNATURES), rng.choice(["inputs", "instances"]): question}
    if rng.random() < 0.1:
        body["inputs"] = some_value(rng)
    text = bytearray(json.dumps(body).encode())
    if rng.random() < 0.25:
        for _ in range(rng.randrange(1, 5)):
            text[rng.randrange(len(text))] = rng.randrange(256)
    return bytes(text)


def test_no_body_is_an_error_of_the_server(model):
    client = WsgiClient(RestService(model))
    for seed in range(REST_REQUESTS):
        body = some_body(random.Random(seed))
        response = client.post("/v1/models/shop:predict", data=body)
        assert response.status_code in (200, 400), (seed, response.data)
        assert json.loads(response.data)


def answers_or_refuses(model, request, seed):
    try:
        PredictionService(model).Predict(request, Context())
    except Refused as error:
        code, details = error.args
        known = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
        assert code in [getattr(grpc.StatusCode, name) for name in known], (seed, code, details)
        details.encode()


def damage_message(rng, request):
    """Replaces type, shape or content of some inputs; in one of four, bytes of the whole."""
    request.model_spec.signature_name = rng.choice(SIGNATURES)
    for name in rng.sample(["items", "behaviors", "k", "candidates"], rng.randrange(1, 3)):
        tensor = request.inputs[name]
        if rng.random() < 0.5:
            tensor.dtype = rng.choice([0, 1, 3, 7, 9, 10, 20, 21, 23, 101, 500])
        if rng.random() < 0.5:
            size = rng.choice([0, 1, 3, -1, 10**7, 2**40, 2**63 - 1, -(2**63)])
            tensor.tensor_shape.dim.add(size=size)
        if rng.random() < 0.3:
            tensor.tensor_content = rng.randbytes(rng.randrange(20))
    if rng.random() < 0.25:
        text = bytearray(request.SerializeToString())
        text[rng.randrange(len(text))] = rng.randrange(256)
        try:
            return predict_pb2.PredictRequest.FromString(bytes(text))
        except Exception:  # gRPC refuses it before the service sees it
            return request
    return request


def test_no_message_is_an_unknown_error(model):
    for seed in range(GRPC_MESSAGES):
        rng = random.Random(seed)
        answers_or_refuses(model, damage_message(rng, predict_request(columns())), seed)


def some_example(rng):
    """Bytes that are an example, one with wrong features, or none."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(30))
    made = tf.train.Example()
    for name in ("items", "behaviors", "k", "exclude_seen"):
        feature = made.features.feature[name]
        kind = rng.choice(["bytes", "int64", "float", "none"])
        count = rng.randrange(4)
        if kind == "bytes":
            feature.bytes_list.value.extend(rng.randbytes(3) for _ in range(count))
        elif kind == "int64":
            feature.int64_list.value.extend(rng.randrange(-(2**63), 2**63) for _ in range(count))
        elif kind == "float":
            feature.float_list.value.extend([1.5] * count)
    text = bytearray(made.SerializeToString())
    if text and rng.random() < 0.3:
        text[rng.randrange(len(text))] = rng.randrange(256)
    return bytes(text)


def test_no_example_is_an_unknown_error(model):
    for seed in range(EXAMPLES):
        rng = random.Random(seed)
        examples = [some_example(rng) for _ in range(rng.randrange(1, 4))]
        answers_or_refuses(
            model, predict_request({"examples": examples}, signature="examples"), seed
        )
