"""Random requests, in this process: each is answered, or refused with a reason."""

import base64
import json
import random

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from werkzeug.test import Client as WsgiClient

from pipelines.serving.grpc_service import PredictionService
from pipelines.serving.rest_service import RestService
from pipelines.serving.served_model import ServedModel

from .asking import predict_request

# Quick, but enough to meet every kind of damage; a thorough run uses ten times as many.
REST_REQUESTS, GRPC_MESSAGES, EXAMPLES = 1_000, 500, 150
LISTS = ["serving_default", "recommend", ""]
CANDIDATES = ["rank", "behavior"]
SIGNATURES = [*LISTS, *CANDIDATES, "explain", "examples", "nope"]
NAMES = ["", "i3", "i7", "i30", "i31", "é", "a" * 300]
BEHAVIORS = ["", "view", "cart", "buy", "nope"]
VALUES = ["", "i3", "view", "\ud83d", "é", "a" * 300, None, True, -1, 0, 1.5, 2**31, 2**64, {}, []]


class Refused(Exception):
    """Like the exception with which gRPC ends a call."""


class Context:
    """The part of gRPC's context that the services use."""

    def abort(self, code, details):
        raise Refused(code, details)


class CountedSession:
    """Counts the requests that pass all checks and reach the graph."""

    def __init__(self, session):
        self.runs = 0
        self._session = session

    def run(self, *arguments):
        self.runs += 1
        return self._session.run(*arguments)


@pytest.fixture(scope="module")
def model(exports):
    model = ServedModel(exports[0].parent, "shop")
    model.refresh()
    return model


@pytest.fixture
def session(model):
    with model.lease() as (_, version):
        counted = CountedSession(version._session)
        for signature in version.signatures.values():
            signature._session = counted
        yield counted
        for signature in version.signatures.values():
            signature._session = version._session


def some_rows(rng, names, rows, width):
    return [rng.choices(names, k=width) for _ in range(rows)]


def some_question(rng):
    """Returns a signature's name and inputs that it accepts."""
    name = rng.choice([*LISTS, *CANDIDATES, "explain"])
    rows, events = rng.randrange(1, 4), rng.randrange(1, 9)
    question = {
        "items": some_rows(rng, NAMES, rows, events),
        "behaviors": some_rows(rng, BEHAVIORS, rows, events),
    }
    if name in CANDIDATES:
        question["candidates"] = some_rows(rng, NAMES, rows, rng.randrange(1, 5))
    if name in LISTS and rng.random() < 0.7:
        question["k"] = rng.choices([1, 3, 30, 31, 100, 0, -1], [4, 4, 2, 2, 2, 1, 1], k=rows)
    if name in LISTS and rng.random() < 0.5:
        question["exclude_seen"] = rng.choices([True, False], k=rows)
    return name, question


def some_value(rng, depth=0):
    """Returns JSON of any form, mostly lists."""
    if depth < 3 and rng.random() < 0.5:
        return [some_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if rng.random() < 0.1:
        return {"b64": rng.choice(["1g==", "%", base64.b64encode(rng.randbytes(9)).decode()])}
    return rng.choice(VALUES)


def some_body(rng):
    """Returns a request; two of three have a part replaced or added, or are damaged as text."""
    name, question = some_question(rng)
    damage = rng.choice(["none", "none", "inputs", "inputs", "form", "text"])
    if damage == "inputs":
        for key in rng.sample([*question, "candidates", "examples"], rng.randrange(1, 3)):
            question[key] = some_value(rng)
    body = {"signature_name": name, "inputs": question}
    if damage == "form":
        body["signature_name"] = rng.choice(SIGNATURES)
        body[rng.choice(["inputs", "instances"])] = rng.choice([some_value(rng), question])
    text = bytearray(json.dumps(body).encode())
    if damage == "text":
        for _ in range(rng.randrange(1, 5)):
            text[rng.randrange(len(text))] = rng.randrange(256)
    return bytes(text)


def test_no_body_is_an_error_of_the_server(model, session):
    client = WsgiClient(RestService(model))
    for seed in range(REST_REQUESTS):
        body = some_body(random.Random(seed))
        response = client.post("/v1/models/shop:predict", data=body)
        assert response.status_code in (200, 400), (seed, response.data)
        assert json.loads(response.data)
    assert session.runs >= REST_REQUESTS / 4


def answers_or_refuses(model, request, seed):
    try:
        PredictionService(model).Predict(request, Context())
    except Refused as error:
        code, details = error.args
        known = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
        assert code in [getattr(grpc.StatusCode, name) for name in known], (seed, code, details)
        details.encode()


def some_message(rng):
    """Returns a message; two of three have a type, shape, content, signature or byte replaced."""
    name, question = some_question(rng)
    if "k" in question:
        question["k"] = np.array(question["k"], np.int32)
    request = predict_request(question, signature=name)
    damage = rng.choice(["none", "none", "inputs", "inputs", "signature", "bytes"])
    if damage == "signature":
        request.model_spec.signature_name = rng.choice(SIGNATURES)
    if damage == "inputs":
        for key in rng.sample([*question, "candidates"], rng.randrange(1, 3)):
            damage_tensor(rng, request.inputs[key])
    if damage == "bytes":
        text = bytearray(request.SerializeToString())
        text[rng.randrange(len(text))] = rng.randrange(256)
        try:
            return predict_pb2.PredictRequest.FromString(bytes(text))
        except Exception:  # gRPC refuses it before the service sees it
            return request
    return request


def damage_tensor(rng, tensor):
    if rng.random() < 0.5:
        tensor.dtype = rng.choice([0, 1, 3, 7, 9, 10, 20, 21, 23, 101, 500])
    if rng.random() < 0.5:
        size = rng.choice([0, 1, 3, -1, 10**7, 2**40, 2**63 - 1, -(2**63)])
        tensor.tensor_shape.dim.add(size=size)
    if rng.random() < 0.3:
        tensor.tensor_content = rng.randbytes(rng.randrange(20))


def test_no_message_is_an_unknown_error(model, session):
    for seed in range(GRPC_MESSAGES):
        answers_or_refuses(model, some_message(random.Random(seed)), seed)
    assert session.runs >= GRPC_MESSAGES / 4


def some_example(rng):
    """Returns the bytes of an example; half of them have a wrong feature or damaged bytes."""
    damage = rng.choice(["none", "none", "none", "features", "bytes", "random"])
    if damage == "random":
        return rng.randbytes(rng.randrange(30))
    made = tf.train.Example()
    features, events = made.features.feature, rng.randrange(9)
    for name, names in (("items", NAMES), ("behaviors", BEHAVIORS)):
        values = [value.encode() for value in rng.choices(names, k=events)]
        features[name].bytes_list.value.extend(values)
    if rng.random() < 0.5:
        features["k"].int64_list.value.append(rng.choice([1, 3, 100, 0, -1, 2**40]))
    if rng.random() < 0.5:
        features["exclude_seen"].int64_list.value.append(rng.randrange(2))
    if damage == "features":
        damage_feature(rng, features[rng.choice(["items", "behaviors", "k", "exclude_seen"])])
    text = bytearray(made.SerializeToString())
    if text and damage == "bytes":
        text[rng.randrange(len(text))] = rng.randrange(256)
    return bytes(text)


def damage_feature(rng, feature):
    feature.Clear()
    kind, count = rng.choice(["bytes", "int64", "float", "none"]), rng.randrange(4)
    if kind == "bytes":
        feature.bytes_list.value.extend(rng.randbytes(3) for _ in range(count))
    elif kind == "int64":
        feature.int64_list.value.extend(rng.randrange(-(2**63), 2**63) for _ in range(count))
    elif kind == "float":
        feature.float_list.value.extend([1.5] * count)


def test_no_example_is_an_unknown_error(model, session):
    for seed in range(EXAMPLES):
        rng = random.Random(seed)
        examples = [some_example(rng) for _ in range(rng.randrange(1, 4))]
        answers_or_refuses(
            model, predict_request({"examples": examples}, signature="examples"), seed
        )
    assert session.runs >= EXAMPLES / 4
