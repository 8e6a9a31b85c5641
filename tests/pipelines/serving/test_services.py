"""The same query in this process, over gRPC and over REST."""

import base64

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2, meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from pipelines.serving.loaded_version import Signature

from .asking import HISTORIES, ask_grpc, ask_rest, columns, predict_request

PREDICT = "/v1/models/shop:predict"
CANDIDATES = [["i3", "i9", "nope"]] * len(HISTORIES)
QUESTIONS = {
    "serving_default": {"k": [4, 2, 30], "exclude_seen": [True, False, True]},
    "recommend": {"k": [5] * 3, "exclude_seen": [False] * 3},
    "rank": {"candidates": CANDIDATES},
    "behavior": {"candidates": CANDIDATES},
}


@pytest.fixture(scope="module")
def loaded(exports):
    """Loads the latest version without a server."""
    return tf.saved_model.load(str(exports[1]))


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def same(answers, expected):
    """Checks that names, shapes and text are the same, and numbers up to 1e-5."""
    assert set(answers) == set(expected)
    for name, value in expected.items():
        if value.dtype.kind == "O":
            text = [b if isinstance(b, bytes) else b.encode() for b in np.ravel(answers[name])]
            assert text == value.ravel().tolist()
        else:
            np.testing.assert_allclose(answers[name], value, atol=1e-5)
        assert np.shape(answers[name]) == value.shape


def fails(code, call, *arguments):
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, timeout=60)
    assert error.value.code() == code
    return error.value.details()


@pytest.mark.parametrize("signature", list(QUESTIONS))
def test_every_way_gives_the_same_answer(server, loaded, signature):
    question = columns() | QUESTIONS[signature]
    answer = loaded.signatures[signature](**{k: tf.constant(v) for k, v in question.items()})
    expected = {name: value.numpy() for name, value in answer.items()}

    same(ask_grpc(server.address, question, signature=signature), expected)

    body = {"signature_name": signature, "inputs": question}
    status, told = ask_rest(server, PREDICT, body)
    assert status == 200
    same(told["outputs"], expected)

    rows = [dict(zip(question, row, strict=True)) for row in zip(*question.values(), strict=True)]
    status, told = ask_rest(server, PREDICT, {"signature_name": signature, "instances": rows})
    assert status == 200
    same({name: [row[name] for row in told["predictions"]] for name in expected}, expected)


def test_what_is_not_given_is_filled_in(server, loaded):
    answer = loaded.signatures["recommend"](
        **{key: tf.constant(value) for key, value in columns().items()},
        k=tf.constant(10),
        exclude_seen=tf.constant(False),
    )
    expected = {name: value.numpy() for name, value in answer.items()}
    same(ask_grpc(server.address, columns()), expected)
    same(ask_rest(server, PREDICT, {"inputs": columns()})[1]["outputs"], expected)


def test_what_is_given_replaces_a_default():
    """Uses a session that returns what it is fed."""

    class Session:
        def run(self, fetched, fed):
            return fed

    definition = meta_graph_pb2.SignatureDef()
    definition.inputs["k"].name = "k:0"
    definition.inputs["k"].dtype = tf.int32.as_datatype_enum
    definition.inputs["k"].tensor_shape.unknown_rank = True
    definition.defaults["k"].CopyFrom(tf.make_tensor_proto([10]))
    signature = Signature("recommend", definition, Session())
    assert signature({})["k:0"].tolist() == [10]
    assert signature({"k": np.array([3], np.int32)})["k:0"].tolist() == [3]


def test_examples(server, loaded):
    def feature(words):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[w.encode() for w in words]))

    examples = []
    for history in HISTORIES:
        items, behaviors = zip(*history, strict=True)
        features = {"items": feature(items), "behaviors": feature(behaviors)}
        example = tf.train.Example(features=tf.train.Features(feature=features))
        examples.append(example.SerializeToString())
    answer = loaded.signatures["examples"](tf.constant(examples))
    expected = {name: value.numpy() for name, value in answer.items()}
    same(ask_grpc(server.address, {"examples": examples}, signature="examples"), expected)
    encoded = [{"b64": base64.b64encode(example).decode()} for example in examples]
    for form in ({"inputs": encoded}, {"inputs": {"examples": encoded}}):
        _, told = ask_rest(server, PREDICT, {"signature_name": "examples", **form})
        same(told["outputs"], expected)
    for rows in (encoded, [{"examples": example} for example in encoded]):
        _, told = ask_rest(server, PREDICT, {"signature_name": "examples", "instances": rows})
        same({name: [row[name] for row in told["predictions"]] for name in expected}, expected)


def test_outputs_can_be_chosen(server, predictions):
    request = predict_request(columns(), outputs=["scores"])
    response = predictions.Predict(request, timeout=60)
    assert list(response.outputs) == ["scores"]
    # In the field where TensorFlow Serving writes them and clients look for them.
    assert len(response.outputs["scores"].float_val) == 3 * 10
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"
    for outputs in (["scores", "scores"], ["nothing"]):
        request = predict_request(columns(), outputs=outputs)
        assert "items, scores" in fails(
            grpc.StatusCode.INVALID_ARGUMENT, predictions.Predict, request
        )


def test_a_version_or_a_label_is_asked(server):
    old = ask_grpc(server.address, columns(), version=1)
    new = ask_grpc(server.address, columns(), version=2)
    assert old["items"].tolist() != new["items"].tolist()
    same(ask_grpc(server.address, columns(), label="stable"), old)
    same(ask_grpc(server.address, columns()), new)
    body = {"inputs": columns()}
    for path, expected in (("/versions/1", old), ("/labels/stable", old), ("/versions/2", new)):
        status, told = ask_rest(server, f"/v1/models/shop{path}:predict", body)
        assert status == 200
        same(told["outputs"], expected)


def test_grpc_refuses_with_the_right_status(server, predictions, models):
    predict = predictions.Predict
    missing, bad = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT
    assert "'shop'" in fails(missing, predict, predict_request(columns(), name="shoe"))
    assert "version 3" in fails(missing, predict, predict_request(columns(), version=3))
    unmet = grpc.StatusCode.FAILED_PRECONDITION
    assert "rank" in fails(unmet, predict, predict_request(columns(), signature="regress"))
    assert "stable" in fails(bad, predict, predict_request(columns(), label="canary"))
    for inputs, words in (
        ({"items": [["i3"]]}, "missing: behaviors"),
        ({**columns(), "candidate": [["i1"]]}, "unknown: candidate"),
        ({**columns(), "k": 2.5}, "must be int32"),
        ({**columns(), "items": ["i3"]}, "shape [any, any]"),
        ({**columns(), "items": [[3]]}, "must be string"),
        ({**columns(), "k": [1, 2]}, "one for each"),
    ):
        assert words in fails(bad, predict, predict_request(inputs))
    broken = predict_request(columns())
    broken.inputs["k"].tensor_shape.dim.add(size=3)
    broken.inputs["k"].dtype = tf.int32.as_datatype_enum
    broken.inputs["k"].tensor_content = b"12345"
    fails(bad, predict, broken)
    status = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "shoe"})
    fails(missing, models.GetModelStatus, status)


def test_what_is_not_implemented_says_so(predictions, models):
    for call, request, words in (
        (predictions.Classify, classification_pb2.ClassificationRequest(), "Predict"),
        (predictions.Regress, regression_pb2.RegressionRequest(), "Predict"),
        (predictions.MultiInference, inference_pb2.MultiInferenceRequest(), "Predict"),
        (models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest(), "start"),
    ):
        assert words in fails(grpc.StatusCode.UNIMPLEMENTED, call, request)


def test_rest_refuses_with_the_right_status(server):
    question = {"inputs": columns()}
    for path, body, status, words in (
        ("/v1/models/shoe:predict", question, 404, "'shop'"),
        ("/v1/models/shoe", None, 404, "'shop'"),
        ("/v1/models/shop/versions/3:predict", question, 404, "version 3"),
        ("/v1/models/shop/versions/3", None, 404, "version 3"),
        ("/v1/models/shop/labels/canary:predict", question, 400, "stable"),
        (PREDICT, {"signature_name": "nothing", **question}, 400, "rank"),
        (PREDICT, "{", 400, "JSON"),
        (PREDICT, {"inputs": {"items": [["i3"]]}}, 400, "missing: behaviors"),
        (PREDICT, {"inputs": {**columns(), "k": [1, 2]}}, 400, "one for each"),
        (
            PREDICT,
            {
                "instances": [
                    {"items": ["i1", "i2"], "behaviors": ["view", "view"]},
                    {"items": ["i1"], "behaviors": ["view"]},
                ]
            },
            400,
            "pad shorter histories",
        ),
        ("/v1/models/shop:classify", {}, 501, "predict"),
        ("/v1/models/shop:regress", {}, 501, "predict"),
        ("/v1/models/shop", {}, 405, "POST"),
        ("/v1/nothing", None, 404, "GET"),
    ):
        told = ask_rest(server, path, body)
        assert told[0] == status, told
        assert list(told[1]) == ["error"]
        assert words in told[1]["error"]


def test_status(server, models):
    def row(number):
        state = {"error_code": "OK", "error_message": ""}
        return {"version": str(number), "state": "AVAILABLE", "status": state}

    both = {"model_version_status": [row(2), row(1)]}
    assert ask_rest(server, "/v1/models/shop") == (200, both)
    one = {"model_version_status": [row(1)]}
    for path in ("versions/1", "labels/stable"):
        assert ask_rest(server, f"/v1/models/shop/{path}") == (200, one)
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "shop"})
    told = models.GetModelStatus(request, timeout=60).model_version_status
    assert [(version.version, version.state) for version in told] == [(2, 30), (1, 30)]
    assert {version.status.error_code for version in told} == {error_codes_pb2.OK}
    request.model_spec.version_label = "stable"
    told = models.GetModelStatus(request, timeout=60).model_version_status
    assert [version.version for version in told] == [1]


def test_metadata(server, predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "shop"}, metadata_field=["signature_def"]
    )
    told = predictions.GetModelMetadata(request, timeout=60)
    assert told.model_spec.version.value == 2
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert told.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "recommend", "rank", "behavior", "examples"} <= set(
        signatures.signature_def
    )
    assert set(signatures.signature_def["serving_default"].defaults) == {"k", "exclude_seen"}
    del request.metadata_field[:]
    fails(grpc.StatusCode.INVALID_ARGUMENT, predictions.GetModelMetadata, request)

    status, told = ask_rest(server, "/v1/models/shop/labels/stable/metadata")
    assert status == 200
    assert told["model_spec"] == {"name": "shop", "signature_name": "", "version": "1"}
    rank = told["metadata"]["signature_def"]["signature_def"]["rank"]
    assert rank["method_name"] == "tensorflow/serving/predict"
    assert rank["inputs"]["candidates"]["dtype"] == "DT_STRING"
    size = {"size": "-1", "name": ""}
    assert rank["inputs"]["candidates"]["tensor_shape"] == {
        "dim": [size, size],
        "unknown_rank": False,
    }


def test_health(server, channel):
    status, told = ask_rest(server, "/healthz")
    assert (status, told["status"], told["version"]) == (200, "serving", "2")
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    service = b"tensorflow.serving.PredictionService"
    for request in (b"", b"\x0a" + bytes([len(service)]) + service):
        assert check(request, timeout=60) == b"\x08\x01"
    fails(grpc.StatusCode.NOT_FOUND, check, b"\x0a\x01x")


@pytest.mark.parametrize("part", ["watcher", "REST", "gRPC"])
def test_health_tells_of_a_part_that_has_ended(server, channel, monkeypatch, part):
    if part == "watcher":
        monkeypatch.setattr(type(server.model), "is_watching", False)
    elif part == "REST":
        monkeypatch.setattr(type(server._rest), "is_alive", False)
    else:
        monkeypatch.setattr(server._grpc, "wait_for_termination", lambda timeout: False)
    status, told = ask_rest(server, "/healthz")
    assert status == 503
    assert part in told["error"]
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"", timeout=60) == b"\x08\x02"


def test_health_needs_a_version(server, monkeypatch):
    monkeypatch.setattr(type(server.model), "has_latest", False)
    assert ask_rest(server, "/healthz")[0] == 503
