"""Valid names of models, for directories, configurations and URLs alike."""

from __future__ import annotations

import re

from pipelines.runtime.errors import InputError

_LONGEST = 100
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_model_name(name: str, option: str = "--name") -> str:
    """Returns a model's name if it is valid as a directory, in a URL and for TensorFlow Serving.

    Whole numbers are versions, and a name that starts with a dot is hidden or leads to another
    directory.

    Args:
        name: name of the model.
        option: the option that gives the name, for the message.

    Raises:
        InputError: if it is not valid.
    """
    if not _NAME.fullmatch(name) or name.isdecimal() or len(name) > _LONGEST:
        raise InputError(
            f"{name[:_LONGEST]!r} is not a valid model name; give {option} at most {_LONGEST} "
            "letters a-z, digits, '_', '-' and '.', not only digits, and not '-' or '.' first."
        )
    return name
