"""Requests that are refused before they take memory, and client errors."""

import contextlib
import json
import tracemalloc

import grpc
import numpy as np
import pytest
import tensorflow as tf
from werkzeug.test import Client as WsgiClient

from pipelines.serving.grpc_service import PredictionService
from pipelines.serving.limits import (
    MAX_BYTES,
    MAX_EVENTS,
    MAX_HISTORIES,
    MAX_K,
    MAX_VALUES,
    check_answer,
    check_shape,
)
from pipelines.serving.loaded_version import _sentence
from pipelines.serving.request_error import RequestError
from pipelines.serving.rest_service import RestService
from pipelines.serving.served_model import ServedModel
from pipelines.serving.value_limits import check_values

from .asking import ask_rest, columns, predict_request

PREDICT = "/v1/models/shop:predict"


class Refused(Exception):
    """Like the exception with which gRPC ends a call."""


class Context:
    """The part of gRPC's context that the services use."""

    def abort(self, code, details):
        raise Refused(code, details)


@pytest.fixture(scope="module")
def model(exports):
    model = ServedModel(exports[0].parent, "shop", {"stable": 1})
    model.refresh()
    return model


@pytest.fixture(scope="module")
def rest(model):
    return WsgiClient(RestService(model))


def refused(model, request):
    """Checks that a request is refused with INVALID_ARGUMENT, and returns the sentence."""
    with pytest.raises(Refused) as error:
        PredictionService(model).Predict(request, Context())
    code, details = error.value.args
    assert code == grpc.StatusCode.INVALID_ARGUMENT, details
    return details


def declared(dtype, *sizes, **values):
    """Returns a tensor of few bytes with any declared type and shape."""
    tensor = tf.make_tensor_proto(np.zeros(0, np.int32))
    tensor.dtype = dtype
    del tensor.tensor_shape.dim[:]
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    for name, value in values.items():
        getattr(tensor, name).extend(value)
    return tensor


def expectation(is_refused):
    return pytest.raises(RequestError) if is_refused else contextlib.nullcontext()


@pytest.mark.parametrize(
    ("shape", "is_refused"),
    [
        ((), False),
        ((MAX_HISTORIES, 1), False),
        ((MAX_HISTORIES + 1, 1), True),
        ((1, MAX_EVENTS), False),
        ((1, MAX_EVENTS + 1), True),
        ((512, MAX_VALUES // 512), False),
        ((512, MAX_VALUES // 512 + 1), True),
    ],
)
def test_shapes_are_allowed_up_to_the_limits(shape, is_refused):
    with expectation(is_refused):
        check_shape("items", shape)


@pytest.mark.parametrize(
    ("histories", "k", "is_refused"),
    [
        (1, MAX_K, False),
        (1, MAX_K + 1, True),
        (512, MAX_VALUES // 512, False),
        (512, MAX_VALUES // 512 + 1, True),
    ],
)
def test_items_are_allowed_up_to_the_limits(histories, k, is_refused):
    with expectation(is_refused):
        check_answer(histories, k)


def test_every_row_is_checked_by_the_largest_value_in_it():
    large = {"items": np.zeros((512, 1)), "k": np.array([1, MAX_VALUES // 512 + 1] * 256)}
    long = np.array([example(items=[b"a"] * (MAX_EVENTS + 1)), example(items=[b"a"])], object)
    for inputs in (large, {"examples": long}):
        with pytest.raises(RequestError):
            check_values(inputs)


STRING, INT32 = tf.string.as_datatype_enum, tf.int32.as_datatype_enum


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("items", declared(STRING, 1, 30_000_000, string_val=[b"a"]), f"at most {MAX_EVENTS:,}"),
        ("items", declared(STRING, 30_000_000, 1, string_val=[b"a"]), f"at most {MAX_HISTORIES:,}"),
        ("items", declared(STRING, 1000, 1000, string_val=[b"a"]), f"at most {MAX_VALUES:,}"),
        ("items", declared(STRING, 1, 2**40, string_val=[b"a"]), "at most"),
        ("items", declared(STRING, -1, 1, string_val=[b"a"]), "negative size"),
        ("items", declared(STRING, -(2**62), 1), "negative size"),
        ("items", declared(STRING, *[1] * 100), "nested more than 8"),
        ("k", declared(INT32, 400_000_000, int_val=[1]), f"at most {MAX_HISTORIES:,}"),
        ("k", declared(INT32, int_val=[MAX_K + 1]), f"at most {MAX_K:,}"),
        ("k", declared(tf.resource.as_datatype_enum), "must be int32"),
        ("k", declared(tf.variant.as_datatype_enum), "must be int32"),
        ("items", declared(tf.variant.as_datatype_enum, 1, 1), "must be string"),
        ("k", declared(0), "type"),
        ("k", declared(1000), "unknown type"),
    ],
)
def test_a_small_tensor_does_not_become_a_large_one(model, name, tensor, words):
    request = predict_request(columns())
    request.inputs[name].CopyFrom(tensor)
    tracemalloc.start()
    try:
        assert words in refused(model, request)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_a_tensor_without_a_rank_is_refused(model):
    request = predict_request(columns())
    request.inputs["k"].dtype = INT32
    request.inputs["k"].tensor_shape.unknown_rank = True
    assert "shape" in refused(model, request)


def test_k_for_all_histories_is_limited(rest):
    question = columns([[("i3", "view")]] * 1000)
    assert ask(rest, {"inputs": {**question, "k": 100}}) == (200, None)
    status, error = ask(rest, {"inputs": {**question, "k": 1000}})
    assert (status, f"{MAX_VALUES:,}" in error) == (400, True)


def ask(rest, body):
    """Returns the status and the error of a request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = rest.post(PREDICT, data=data)
    return response.status_code, json.loads(response.data).get("error")


def nested(depth, name):
    value = "[" * depth + '"a"' + "]" * depth
    return f'{{"inputs": {{"behaviors": [["a"]], "{name}": {value}}}}}'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (r'{"inputs": {"items": [["\ud83d"]], "behaviors": [["view"]]}}', "surrogate"),
        (r'{"inputs": {"\ud83d": [["a"]]}}', "no input"),
        (r'{"signature_name": "\ud83d", "inputs": []}', "no signature"),
        (r'{"inputs": {"items": [["a"]], "behaviors": [[{"b64": "\ud83d"}]]}}', "b64"),
        (nested(70, "items"), "nested more"),
        (nested(900, "items"), "nested more"),
        (
            '{"inputs": {"k": %s, "behaviors": [["a"]]}}' % ('{"a":' * 900 + "1" + "}" * 900),
            "object",
        ),
        (nested(100_000, "k"), "nested too deep"),
        (b'{"inputs": "\xff"}', "not valid JSON"),
        (b"", "not valid JSON"),
        ('{"inputs": {"k": %s}}' % ("9" * 5000), "not valid JSON"),
        ('{"signature_name": "examples", "inputs": [{"b64": "1g=="}]}', "not a tf.train.Example"),
        ('{"signature_name": "examples", "inputs": ["abc"]}', "not a tf.train.Example"),
        ('{"inputs": {"items": [["a"]], "behaviors": [["a", "b"]]}}', "have the same shape"),
        ('{"inputs": {"items": [["a"]], "behaviors": [["a"]], "k": [1, 2]}}', "one for each"),
    ],
)
def test_what_a_client_sends_is_never_an_error_of_the_server(rest, body, words):
    status, error = ask(rest, body if isinstance(body, bytes) else body.encode())
    assert status == 400
    assert words in error
    assert "Graph execution" not in error and len(error) <= 500


@pytest.mark.parametrize("number", [2**63, 10**18, "9" * 5000])
def test_a_version_that_cannot_be_is_not_found(rest, number):
    assert rest.get(f"/v1/models/shop/versions/{number}").status_code == 404


def example(**features):
    made = tf.train.Example()
    for name, values in features.items():
        if isinstance(values[0], int):
            made.features.feature[name].int64_list.value.extend(values)
        else:
            made.features.feature[name].bytes_list.value.extend(values)
    return made.SerializeToString()


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ([b"\xd6"], "row 0 of 'examples' is not a tf.train.Example"),
        ([example(items=[1], behaviors=[b"view"])], "Data types don't match"),
        ([example(items=[b"a"])], "equal in number"),
        ([example(items=[b"a"], behaviors=[b"view"], k=[2**40])], f"at most {MAX_K:,}"),
        ([example(items=[b"a"] * 10_001, behaviors=[b"a"] * 10_001)], f"at most {MAX_EVENTS:,}"),
    ],
)
def test_examples_that_cannot_be_answered_say_why(model, examples, words):
    assert words in refused(model, predict_request({"examples": examples}, signature="examples"))


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("Graph execution error:\n\nwhat\nit is\n\t [[{{node a}}]]", "what it is"),
        ("Unsupported object type int", "Unsupported object type int"),
        ("assertion failed: [they differ] [x (a) = ] [1]\n\t [[a]]", "they differ"),
        ("", "TensorFlow gives no reason."),
    ],
)
def test_the_reason_is_a_sentence(message, sentence):
    assert _sentence(message) == sentence


def test_a_message_that_is_no_text_is_a_refusal(model):
    class Session:
        def run(self, *arguments):
            b"value \xd6".decode()

    with model.lease() as (_, version):
        signature = version.signature("rank")
    from pipelines.serving.loaded_version import Signature

    broken = Signature("rank", version.signature_defs["rank"], Session())
    question = {key: np.array([["i1"]], object) for key in signature.inputs}
    with pytest.raises(RequestError, match=r"value \\xd6") as error:
        broken(question)
    assert error.value.code == "INVALID_ARGUMENT"


def test_large_messages_are_refused_by_both_fronts(server):
    large = {"inputs": {"items": [["a" * MAX_BYTES]], "behaviors": [["view"]]}}
    status, answer = ask_rest(server, PREDICT, large)
    assert (status, list(answer)) == (413, ["error"])
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as error:
            call(bytes(MAX_BYTES + 1), timeout=60)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
