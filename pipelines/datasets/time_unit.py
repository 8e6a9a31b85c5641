"""The unit of a log's times, where their size shows it."""

from __future__ import annotations

_YEARS = 631_152_000, 4_102_444_800  # 1990 and 2100 in Unix seconds
_PER_SECOND = {"s": 1, "ms": 1_000}


def time_unit(first: int, last: int) -> tuple[str | None, int]:
    """Tells whether times are Unix times.

    Args:
        first: the earliest time.
        last: the latest time.

    Returns:
        the unit, `"s"` or `"ms"` if all times, read as Unix time, lie from 1990 to 2099, else None;
        and its number per second, 1 if unknown.
    """
    for unit, scale in _PER_SECOND.items():
        if _YEARS[0] * scale <= first and last < _YEARS[1] * scale:
            return unit, scale
    return None, 1
