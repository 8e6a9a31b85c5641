"""Recognises a full or read-only disk in the errors of all libraries."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from pipelines.runtime.errors import InputError, in_one_line
from pipelines.runtime.printable import printable

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
# DuckDB says this if the disk of its temporary files is full.
_LIMIT_OF_DUCKDB = "max_temp_directory_size"


def disk_sentence(error: BaseException) -> str | None:
    """Returns one sentence about the disk if an error comes from it, else None.

    DuckDB, HDF5, TensorFlow, TFDS and Python raise their own errors, with the operating system's
    number or only its message. Errors that caused the error count as well.
    """
    cause = _cause(error)
    if cause is None:
        return None
    return (
        f"a disk cannot be written ({in_one_line(cause)}); free disk space or mount it for "
        "writing, then run the command again, with --resume if it had started."
    )


def user_sentence(error: BaseException) -> str | None:
    """Returns what the user can do about an error, None if it is a bug."""
    return str(error) if isinstance(error, InputError) else disk_sentence(error)


@contextlib.contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Ends the process with status 2 and one sentence on errors that the user can fix.

    These come from bad input or a disk. Bugs pass with their tracebacks.
    """
    try:
        yield
    except Exception as error:
        sentence = user_sentence(error)
        if sentence is None:
            raise
        print(f"hmar: {printable(sentence)}", file=sys.stderr)
        sys.exit(2)


def is_of_disk(error: BaseException) -> bool:
    """Returns whether an error comes from a disk that is full, read-only or broken."""
    return _cause(error) is not None


def _cause(error):
    seen = set()
    while error is not None and id(error) not in seen:
        if _says_so(error):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _says_so(error):
    text = str(error)
    return (
        getattr(error, "errno", None) in _NUMBERS
        or any(os.strerror(number) in text for number in _NUMBERS)
        or _LIMIT_OF_DUCKDB in text
    )
