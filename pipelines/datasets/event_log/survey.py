"""Surveys a file before DuckDB reads it: how many rows are complete, and which are not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet

from pipelines.datasets.event_log.files import JSON_LINES, PARQUET, LogFile
from pipelines.datasets.event_log.problems import MALFORMED, advise
from pipelines.datasets.event_log.report import Dropped
from pipelines.datasets.event_log.row_scan import (
    GOOD,
    LONGEST_OBJECT,
    LONGEST_ROW,
    NOT_UTF8,
    REASONS,
    scan_rows,
)
from pipelines.runtime.errors import InputError


@dataclasses.dataclass(frozen=True)
class Survey:
    """The result of surveying a file.

    Args:
        good: number of complete rows: for CSV, those with the right number of fields; for JSON
            lines, those that are not blank.
        malformed: the other rows, by reason, with the place of the first.
        in_lines: whether no row contains a line break.
    """

    good: int
    malformed: tuple[Dropped, ...] = ()
    in_lines: bool = True


def survey(file: LogFile, skip_bad_rows: bool) -> Survey:
    """Reads a file once; memory use does not grow with the file.

    Raises:
        InputError: at the first malformed row, unless `skip_bad_rows`.
        OSError, EOFError, zlib.error: if the file cannot be read or unpacked.
    """
    if file.kind == PARQUET:
        return Survey(pyarrow.parquet.read_metadata(file.path).num_rows)
    good, in_lines = 0, True
    counts, firsts = dict.fromkeys(REASONS, 0), {}
    for rows in scan_rows(file):
        if not len(rows.lines):
            continue
        good += int(np.count_nonzero(rows.problems == GOOD))
        in_lines = in_lines and rows.in_lines
        for problem in np.unique(rows.problems[rows.problems != GOOD]).tolist():
            found = np.flatnonzero(rows.problems == problem)
            counts[problem] += len(found)
            firsts.setdefault(problem, int(rows.lines[found[0]]))
        if firsts and not skip_bad_rows:
            row = int(np.flatnonzero(rows.problems)[0])
            where = f"{file.path} line {rows.lines[row]}"
            raise InputError(advise(f"{where}: {_message(file, rows, row)}"))
    malformed = tuple(
        Dropped(f"{MALFORMED} ({REASONS[problem]})", counts[problem], f"{file.path} line {line}")
        for problem, line in sorted(firsts.items(), key=lambda each: each[1])
    )
    return Survey(good, malformed, in_lines)


def copy_whole_rows(file: LogFile, folder: Path) -> LogFile:
    """Writes the complete rows, without a header, to a file in a folder."""
    path = folder / f"whole_rows{'.jsonl' if file.kind == JSON_LINES else '.csv'}"
    with open(path, "wb") as copy:
        for rows in scan_rows(file):
            copy.writelines(rows.good_parts())
    return dataclasses.replace(file, path=path, has_header=False, blank_lines=0)


def _message(file, rows, row):
    problem = rows.problems[row]
    if problem == NOT_UTF8:
        return "this is not UTF-8 text"
    if REASONS[problem] == "line too long":
        longest = LONGEST_OBJECT if file.kind == JSON_LINES else LONGEST_ROW
        return f"this line has more than {longest:,} bytes"
    return f"this line has {rows.fields[row]} fields instead of {len(file.names)}"
