"""Where in its file a row stands: looked up only once a message needs it."""

from __future__ import annotations

import contextlib
import json
import zlib

import numpy as np

from pipelines.datasets.event_log.files import PARQUET, LogFile
from pipelines.datasets.event_log.row_scan import GOOD, scan_rows


def line_of_row(file: LogFile, row: int, events: str | None = None) -> str:
    """Returns where a row stands, for a message: `"line 17"`.

    Args:
        file: the file.
        row: from 1, counting the rows that are whole, as the reader does.
        events: the field that holds a list of rows, where a line has several.
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
    """Returns the first line of JSON lines that holds no object, and why; None if all do."""
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
    """How many rows each of the lines gives: one for what is no list of events."""
    return np.array([_length(rows.content[rows.starts[n] : rows.ends[n]], field) for n in good])


def _length(line, field):
    try:
        listed = json.loads(line).get(field)
    except (ValueError, RecursionError, AttributeError):
        return 1
    return len(listed) if isinstance(listed, list) else 1
