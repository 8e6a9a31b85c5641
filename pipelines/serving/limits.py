"""Limits for one request, so that small input cannot take much memory.

Once parsed, a JSON body takes up to 45 times its size and a gRPC message up to 52 times, measured
at 8 MiB (`benchmarks/request_memory.py --size 8388608`). A `TensorProto` of a few bytes may declare
any shape, so shapes are checked before values are made.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Sequence

from pipelines.serving.request_error import RequestError

MAX_BYTES = 6 * 2**20
MAX_VALUES = 2**18
MAX_HISTORIES = 1024
MAX_EVENTS = 10_000
MAX_K = 10_000
MAX_AXES = 8  # no signature has more than two
# For TensorFlow, the versions' files and the ports themselves.
_RESERVED_DESCRIPTORS = 80
_MAX_REST, _MAX_GRPC = 1000, 4000


def check_shape(name: str, shape: Sequence[int]) -> None:
    """Checks the shape of an input `[histories, events]`, before its values are made.

    Raises:
        RequestError: if a size is negative, or the shape is too large.
    """
    if len(shape) > MAX_AXES:
        raise _invalid(f"input {name!r} has lists nested more than {MAX_AXES} deep.")
    if any(size < 0 for size in shape):
        raise _invalid(f"input {name!r} declares a negative size; give its real shape.")
    for size, most, things in zip(
        shape, (MAX_HISTORIES, MAX_EVENTS), ("rows", "values in a row"), strict=False
    ):
        if size > most:
            raise _invalid(
                f"input {name!r} has {size:,} {things}, at most {most:,} are allowed; split the "
                "request."
            )
    if math.prod(shape) > MAX_VALUES:
        raise _invalid(
            f"input {name!r} has {math.prod(shape):,} values, at most {MAX_VALUES:,} are allowed; "
            "split the request."
        )


def check_answer(histories: int, k: int) -> None:
    """Checks the number of requested items.

    Raises:
        RequestError: if `k`, or `k` times the histories, is too large.
    """
    if k > MAX_K:
        raise _invalid(f"k is {k:,}, at most {MAX_K:,} is allowed; ask for fewer items.")
    if histories * k > MAX_VALUES:
        raise _invalid(
            f"{histories:,} histories with k={k:,} ask for more than {MAX_VALUES:,} items; split "
            "the request or ask for fewer."
        )


def raise_descriptor_limit() -> None:
    """Lets this process open as many files and connections as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def connection_limits() -> tuple[int, int]:
    """Returns the maximum REST and gRPC connections, which leave descriptors for all else."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _MAX_REST, _MAX_GRPC
    free = max(limit - _RESERVED_DESCRIPTORS, 16)
    # A REST connection takes up to three: long bodies and long answers are kept in files.
    return min(free // 6, _MAX_REST), min(free // 2, _MAX_GRPC)


def _invalid(message):
    return RequestError("INVALID_ARGUMENT", message)
