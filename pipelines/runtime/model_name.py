"""What a model may be called, in directories, configurations and addresses alike."""

from __future__ import annotations

import re

from pipelines.runtime.errors import InputError

_LONGEST = 100
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_model_name(name: str, option: str = "--name") -> str:
    """Returns a model's name if it can be a directory, a part of a URL and TensorFlow Serving's.

    Whole numbers are versions, and what begins with a dot is hidden or leads to another directory.

    Args:
        name: of the model.
        option: that gives the name, for the message.

    Raises:
        InputError: if it cannot.
    """
    if not _NAME.fullmatch(name) or name.isdecimal() or len(name) > _LONGEST:
        raise InputError(
            f"{name[:_LONGEST]!r} cannot be the name of a model; give {option} at most {_LONGEST} "
            "letters a-z, digits, '_', '-' and '.', not digits alone, and no '-' or '.' first."
        )
    return name
