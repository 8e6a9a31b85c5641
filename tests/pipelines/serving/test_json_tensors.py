import base64
import json

import numpy as np
import pytest

from pipelines.serving.json_tensors import COLUMNS, ROWS, parse_request, to_arrays, to_json
from pipelines.serving.request_error import RequestError

TEXT, INT, BOOL, FLOAT = (np.dtype(kind) for kind in ("O", "int32", "bool", "float32"))
INPUTS = {"items": TEXT, "k": INT, "yes": BOOL, "x": FLOAT}


def test_rows_are_columns():
    rows = [{"items": ["a", "b"], "k": 1, "yes": True}, {"items": ["c", ""], "k": 2, "yes": False}]
    inputs = {"items": [["a", "b"], ["c", ""]], "k": [1, 2], "yes": [True, False]}
    for form, content in ((ROWS, rows), (COLUMNS, inputs)):
        arrays = to_arrays(form, content, INPUTS)
        assert arrays["items"].tolist() == [[b"a", b"b"], [b"c", b""]]
        assert (arrays["k"].tolist(), arrays["k"].dtype) == ([1, 2], INT)
        assert (arrays["yes"].tolist(), arrays["yes"].dtype) == ([True, False], BOOL)


def test_a_single_input_needs_no_name():
    encoded = {"b64": base64.b64encode(b"\xff\x00").decode()}
    for content in ([encoded, "é"], [{"only": encoded}, {"only": "é"}]):
        assert to_arrays(ROWS, content, {"only": TEXT})["only"].tolist() == [
            b"\xff\x00",
            "é".encode(),
        ]
    for content in ([encoded], {"only": [encoded]}):
        assert to_arrays(COLUMNS, content, {"only": TEXT})["only"].tolist() == [b"\xff\x00"]


def test_scalars_and_empty_lists():
    arrays = to_arrays(COLUMNS, {"items": [[], []], "k": 3, "x": 2}, INPUTS)
    assert (arrays["items"].shape, arrays["k"].shape, arrays["x"].item()) == ((2, 0), (), 2.0)


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        (ROWS, [], "at least one row"),
        (ROWS, {"items": []}, "at least one row"),
        (ROWS, ["a"], "must be named: items, k"),
        (ROWS, [{"items": ["a"]}, {"k": 1}], "row 1"),
        (ROWS, [{"items": ["a"]}, "b"], "row 1"),
        (ROWS, [{"items": ["a", "b"]}, {"items": ["a"]}], "of 2 and of 1 values"),
        (ROWS, [{"item": ["a"]}], "no input 'item'"),
        (COLUMNS, {"items": [["a"], "b"]}, "single value"),
        (COLUMNS, {"items": ["a", ["b"]]}, "string is expected"),
        (COLUMNS, {"items": [1]}, "has 1 where string"),
        (COLUMNS, {"items": [None]}, "has null where string"),
        (COLUMNS, {"items": {"b64": "%"}}, "b64"),
        (COLUMNS, {"items": ["\ud800"]}, "unpaired surrogate"),
        (COLUMNS, {"items": [{"b64": "%"}]}, "b64"),
        (COLUMNS, {"items": [{"b46": "aaaa"}]}, "b64"),
        (COLUMNS, {"k": 1.5}, "has 1.5 where int32"),
        (COLUMNS, {"k": True}, "has true where int32"),
        (COLUMNS, {"k": 2**40}, "range of int32"),
        (COLUMNS, {"yes": 1}, "has 1 where bool"),
        (COLUMNS, {"x": "1"}, "where float32"),
        (COLUMNS, "a", "must be named"),
    ],
)
def test_what_does_not_fit_is_said(form, content, message):
    with pytest.raises(RequestError, match=message) as error:
        to_arrays(form, content, INPUTS)
    assert error.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "not readable JSON"),
        (b"[]", "JSON object"),
        (b"{}", "either 'instances'"),
        (b'{"instances": [], "inputs": []}', "either 'instances'"),
        (b'{"inputs": [], "signature_name": 1}', "signature_name"),
    ],
)
def test_a_body_that_is_no_request(body, message):
    with pytest.raises(RequestError, match=message):
        parse_request(body)


def test_answers_have_the_form_of_the_request():
    items = np.array([[b"a", "é".encode()], [b"c", b""]], object)
    outputs = {"items": items, "scores": np.array([[1, 0.5], [2, -1]], np.float32)}
    assert to_json(COLUMNS, outputs)["outputs"] == {
        "items": [["a", "é"], ["c", ""]],
        "scores": [[1, 0.5], [2, -1]],
    }
    assert to_json(ROWS, outputs)["predictions"] == [
        {"items": ["a", "é"], "scores": [1, 0.5]},
        {"items": ["c", ""], "scores": [2, -1]},
    ]
    single = {"items": items}
    assert to_json(COLUMNS, single) == {"outputs": [["a", "é"], ["c", ""]]}
    assert to_json(ROWS, single) == {"predictions": [["a", "é"], ["c", ""]]}
    assert to_json(ROWS, {"raw_bytes": np.array([b"\xff"], object)}) == {
        "predictions": [{"b64": "/w=="}]
    }
    with pytest.raises(RequestError, match="no row"):
        to_json(ROWS, {"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(RequestError, match="no row"):
        to_json(ROWS, {"a": np.zeros(())})


def test_every_number_is_json():
    lowest = np.finfo(np.float32).min
    values = np.array([lowest, np.nan, np.inf, 1e-45], np.float32)
    text = json.dumps(to_json(COLUMNS, {"x": values}), allow_nan=False)
    told = json.loads(text)["outputs"]
    assert told[1:3] == [None, None]
    assert np.float32(told[0]) == lowest and np.float32(told[3]) == values[3]
