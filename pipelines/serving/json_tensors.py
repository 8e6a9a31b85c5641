"""TensorFlow Serving's JSON: rows ("instances") or columns ("inputs") to arrays, and back."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

import numpy as np

from pipelines.serving.limits import MAX_AXES, check_shape
from pipelines.serving.request_error import RequestError

ROWS, COLUMNS = "instances", "inputs"
_ANSWERS = {ROWS: "predictions", COLUMNS: "outputs"}
_BASE64 = "b64"


def parse_request(body: bytes) -> tuple[str, str, object]:
    """Parses the body of a request.

    Returns:
        the signature's name, empty for the default; the form, `ROWS` or `COLUMNS`; its content.

    Raises:
        RequestError: if the body is not a valid request.
    """
    try:
        request = json.loads(body)
    except RecursionError as error:
        raise _invalid("the body is not readable JSON: it is nested too deeply.") from error
    except ValueError as error:
        raise _invalid(f"the body is not valid JSON ({error}).") from error
    if not isinstance(request, dict):
        raise _invalid("the body must be a JSON object.")
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise _invalid("signature_name must be a string.")
    forms = [form for form in (ROWS, COLUMNS) if form in request]
    if len(forms) != 1:
        raise _invalid("the body must have either 'instances', a list of rows, or 'inputs'.")
    return name, forms[0], request[forms[0]]


def to_arrays(form: str, content, dtypes: Mapping[str, np.dtype]) -> dict[str, np.ndarray]:
    """Converts the content of a request to arrays.

    Args:
        form: `ROWS` or `COLUMNS`.
        content: the request's content, in that form.
        dtypes: types of the signature's inputs by name; object for strings.

    Raises:
        RequestError: if the content has another form or type, or is ragged.
    """
    if form == ROWS:
        columns = _columns_of_rows(content, dtypes)
    elif _is_named(content):
        columns = content
    else:
        columns = {_only(dtypes): content}
    for name in columns:
        if name not in dtypes:
            raise _invalid(f"no input {name!r}; the inputs are {', '.join(sorted(dtypes))}.")
    return {name: _array(name, value, dtypes[name]) for name, value in columns.items()}


def to_json(form: str, outputs: Mapping[str, np.ndarray]) -> dict:
    """Returns an answer in the form of its request.

    Raises:
        RequestError: if rows are requested and the outputs have none.
    """
    values = {name: _values(name, array) for name, array in outputs.items()}
    single = next(iter(values.values())) if len(values) == 1 else None
    if form == COLUMNS:
        return {_ANSWERS[form]: values if single is None else single}
    counts = {array.shape[0] if array.ndim else None for array in outputs.values()}
    if len(counts) != 1 or None in counts:
        raise _invalid("the outputs have no row for each instance; send 'inputs' instead.")
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return {_ANSWERS[form]: rows if single is None else single}


def _columns_of_rows(rows, dtypes):
    if not isinstance(rows, list) or not rows:
        raise _invalid("'instances' must be a list of at least one row.")
    named = [_is_named(row) for row in rows]
    if not any(named):
        return {_only(dtypes): rows}
    names = set(rows[named.index(True)])
    for number, row in enumerate(rows):
        if not named[number] or set(row) != names:
            raise _invalid(
                f"row {number} of 'instances' must have the same inputs as the others: "
                f"{', '.join(sorted(names))}."
            )
    return {name: [row[name] for row in rows] for name in sorted(names)}


def _is_named(value):
    """Returns whether a value is an object of inputs; `{"b64": ...}` is not."""
    return isinstance(value, dict) and set(value) != {_BASE64}


def _only(dtypes):
    if len(dtypes) != 1:
        raise _invalid(f"the inputs must be named: {', '.join(sorted(dtypes))}.")
    return next(iter(dtypes))


def _array(name, value, dtype):
    shape, inside = [], value
    while isinstance(inside, list):
        shape.append(len(inside))
        if not inside or len(shape) > MAX_AXES:
            break
        inside = inside[0]
    check_shape(name, shape)
    values = []
    _flatten(name, value, shape, dtype, values)
    try:
        return np.array(values, dtype).reshape(shape)
    except OverflowError as error:
        raise _invalid(
            f"input {name!r} has a number that is not in the range of {dtype.name}."
        ) from error


def _flatten(name, value, shape, dtype, values):
    """Appends the values of nested lists of a shape."""
    if not shape:
        values.append(_value(name, value, dtype))
    elif not isinstance(value, list):
        raise _invalid(f"input {name!r} has a single value where a list is expected.")
    elif len(value) != shape[0]:
        raise _invalid(
            f"input {name!r} has lists of {shape[0]} and of {len(value)} values; pad shorter "
            'histories with "".'
        )
    else:
        for part in value:
            _flatten(name, part, shape[1:], dtype, values)


def _value(name, value, dtype):
    if dtype.kind == "O":
        if isinstance(value, str):
            return _encoded(name, value)
        if isinstance(value, dict):
            return _decode(name, value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "b": isinstance(value, bool),
        "i": is_number and isinstance(value, int),
        "u": is_number and isinstance(value, int),
        "f": is_number,
    }
    if not fits.get(dtype.kind):
        kind = "string" if dtype.kind == "O" else dtype.name
        raise _invalid(f"input {name!r} has {_described(value)} where {kind} is expected.")
    return value


def _encoded(name, text):
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _invalid(f"input {name!r} has an unpaired surrogate in {text[:80]!r}.") from error


def _described(value):
    """Describes a value in a few words; lists and objects may be nested deeply."""
    kinds = {list: "a list", dict: "an object"}
    return kinds.get(type(value)) or json.dumps(value)[:80]


def _decode(name, value):
    try:
        return base64.b64decode(value[_BASE64], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _invalid(f'input {name!r} has an object that is not {{"b64": "..."}}.') from error


def _values(name, array):
    """Returns nested lists of values that JSON has; numbers that are not finite become null."""
    if array.dtype.kind == "O":
        text = _encode if name.endswith("_bytes") else _text
        flat = np.empty(array.size, object)
        flat[:] = [text(value) for value in array.ravel()]
        return flat.reshape(array.shape).tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return np.where(np.isfinite(array), array.astype(object), None).tolist()
    return array.tolist()


def _text(value):
    return value.decode(errors="replace")


def _encode(value):
    return {_BASE64: base64.b64encode(value).decode()}


def _invalid(message):
    return RequestError("INVALID_ARGUMENT", message)
