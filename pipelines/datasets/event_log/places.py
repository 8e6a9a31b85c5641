"""Finds the line of a row in its file, only when a message needs it."""

from __future__ import annotations

import contextlib
import json
import zlib

import numpy as np

from pipelines.datasets.event_log.files import PARQUET, LogFile
from pipelines.datasets.event_log.row_scan import GOOD, scan_rows


def line_of_row(file: LogFile, row: int, events: str | None = None) -> str:
    """Returns the place of a row for a message: `"line 17"`.

    Args:
        file: the file.
        row: number of the row among the complete ones, from 1, as the reader counts.
        events: the field that holds a list of rows, if a line can have several.
    """
    if file.kind == PARQUET:
        return f"row {row}"
    before = 0
    with contextlib.suppress(OSError, EOFError, zlib.error):
        for rows in scan_rows(file):
            good = np.flatnonzero(rows.problems == GOOD)
            counts = _events(rows, good, events) if events else np.ones(len(good), np.int64)
            ends = before + np.cumsum(counts)
            if len(ends) and row <= ends[-1]:
                return f"line {rows.lines[good[np.searchsorted(ends, row)]]}"
            before += int(counts.sum())
    return f"row {row}"


def first_bad_object(file: LogFile) -> str | None:
    """Returns the first line of JSON lines that is not an object, and why; None if all are."""
    with contextlib.suppress(OSError, EOFError, zlib.error):
        for rows in scan_rows(file):
            for row in np.flatnonzero(rows.problems == GOOD):
                problem = _fault(rows.content[rows.starts[row] : rows.ends[row]])
                if problem:
                    return f"line {rows.lines[row]}: {problem}"
    return None


def _fault(line):
    try:
        is_object = isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return "this is not valid JSON"
    return None if is_object else "this is not a JSON object"


def _events(rows, good, field):
    """Returns the number of rows in each line: one if it has no list of events."""
    return np.array([_length(rows.content[rows.starts[n] : rows.ends[n]], field) for n in good])


def _length(line, field):
    try:
        listed = json.loads(line).get(field)
    except (ValueError, RecursionError, AttributeError):
        return 1
    return len(listed) if isinstance(listed, list) else 1
