"""Where in its file a row stands: looked up only once a message needs it."""

from __future__ import annotations

import contextlib
import io
import json
import zlib
from pathlib import Path

import numpy as np

from pipelines.datasets.event_log.files import PARQUET, LogFile, open_unpacked
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


def first_bad_object(path: Path) -> str | None:
    """The first line of JSON lines that holds no object, and why; None if there is none."""
    try:
        with open_text(path) as text:
            for number, line in enumerate(text, start=1):
                if line.strip() and "\ufffd" in line:
                    return f"line {number}: this is not UTF-8 text"
                if line.strip() and not isinstance(json.loads(line), dict):
                    return f"line {number}: this is not a JSON object"
    except (ValueError, RecursionError):
        return f"line {number}: this is not valid JSON"
    except (OSError, EOFError, zlib.error):
        pass
    return None


def open_text(path: Path) -> io.TextIOBase:
    """A text file, unpacked if it is compressed; what is no UTF-8 becomes U+FFFD."""
    return io.TextIOWrapper(open_unpacked(path), encoding="utf-8-sig", errors="replace", newline="")


def _events(rows, good, field):
    """How many rows each of the lines gives: one for what is no list of events."""
    return np.array([_length(rows.content[rows.starts[n] : rows.ends[n]], field) for n in good])


def _length(line, field):
    try:
        listed = json.loads(line).get(field)
    except (ValueError, RecursionError, AttributeError):
        return 1
    return len(listed) if isinstance(listed, list) else 1
