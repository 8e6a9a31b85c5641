"""Reads JSON that a user wrote or may have damaged."""

from __future__ import annotations

import json

_DEEPEST = 50  # levels of nesting; what reads the values may be recursive


def parse_json(text: str | bytes):
    """Returns the value of a JSON text.

    Raises:
        ValueError: if it is not valid JSON or UTF-8, is nested too deeply, or has an unpaired
            surrogate.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check(value, _DEEPEST)
    return value


def _check(value, levels):
    if levels == 0:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(rf"it has an unpaired \u{ord(value[error.start]):04x}") from None
    elif isinstance(value, dict):
        for pair in value.items():
            for part in pair:
                _check(part, levels - 1)
    elif isinstance(value, list):
        for part in value:
            _check(part, levels - 1)
