"""Where in its file a row stands: looked up only once a message needs it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import zlib
from pathlib import Path

from pipelines.datasets.event_log.files import JSON_LINES, PARQUET, LogFile, open_unpacked


def line_of_row(file: LogFile, row: int, events: str | None = None) -> str:
    """Where a row stands, for a message: `"line 17"`.

    Args:
        file: the file.
        row: from 1, counting the rows that are whole, as the reader does.
        events: the field that holds a list of rows, where a line has several.
    """
    if file.kind == PARQUET:
        return f"row {row}"
    try:
        with open_text(file.path) as text:
            starts = _json_rows(text, events) if file.kind == JSON_LINES else _csv_rows(text, file)
            for number, line in enumerate(starts, start=1):
                if number == row:
                    return f"line {line}"
    except (OSError, EOFError, ValueError, zlib.error, csv.Error):
        pass
    return f"row {row}"


def line_of_byte(path: Path, position: int) -> str:
    """The line in which a byte of the unpacked file stands, as `"line 17"`."""
    with open_unpacked(path) as content:
        breaks, left = 0, position
        while left > 0 and (block := content.read(min(left, 1 << 20))):
            breaks += block.count(b"\n")
            left -= len(block)
    return f"line {breaks + 1}"


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


def _json_rows(text, events):
    for number, line in enumerate(text, start=1):
        if line.strip():
            count = 1
            if events:
                listed = json.loads(line).get(events)
                count = 1 if listed is None else len(listed)
            yield from itertools.repeat(number, count)


def _csv_rows(text, file):
    """First lines of the rows that have the right number of fields."""
    if len(file.delimiter) > 1:
        rows = ((number, line.split(file.delimiter)) for number, line in enumerate(text, start=1))
    else:
        rows = _numbered(csv.reader(text, delimiter=file.delimiter))
    rows = ((line, fields) for line, fields in rows if any(fields) or len(fields) > 1)
    if file.has_header:
        next(rows, None)
    for line, fields in rows:
        if len(fields) == len(file.names) and not any("\ufffd" in field for field in fields):
            yield line


def _numbered(reader):
    start = 1
    for fields in reader:
        yield start, fields
        start = reader.line_num + 1
