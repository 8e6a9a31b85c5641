"""The files of a log: how they are found, identified and inspected."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import glob
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet

from pipelines.datasets.event_log.spec import LogSpec
from pipelines.runtime.errors import InputError
from pipelines.runtime.printable import check_text

CSV, PARQUET, JSON_LINES = "csv", "parquet", "json lines"
_KINDS = {
    ".csv": CSV,
    ".tsv": CSV,
    ".txt": CSV,
    ".dat": CSV,
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".json": JSON_LINES,
}
_DELIMITERS = (",", "\t", ";", "|", "::", " ")
_LONGEST_LINE = 1 << 24  # bytes of a line that are read to learn the columns
_LINES = 100  # lines that decide the delimiter of a file without a header
_MOST_FILES = 1 << 15
_LONGEST_NAME = 60
_PART = 1 << 16  # bytes at each end and in the middle that the fingerprint includes
_ENDINGS = ", ".join(_KINDS)


@dataclasses.dataclass(frozen=True)
class LogFile:
    """One file of a log.

    Args:
        path: path of the file.
        kind: `CSV`, `PARQUET` or `JSON_LINES`.
        names: its columns in order; for JSON lines, the fields of the first object.
        delimiter: delimiter between the columns of CSV.
        has_header: whether the first line of CSV names the columns.
        blank_lines: number of blank lines before the first line of CSV.
    """

    path: Path
    kind: str
    names: tuple[str, ...]
    delimiter: str = ","
    has_header: bool = True
    blank_lines: int = 0

    @property
    def compression(self) -> str:
        """DuckDB's name for the compression of the file."""
        return "gzip" if _is_packed(self.path) else "none"


def find_files(patterns: Iterable[str]) -> list[Path]:
    """Returns the files of a log in order: as given, and sorted by name within a pattern.

    A directory stands for its files of a known kind that are not empty and whose names do not
    begin with a dot or an underscore.

    Raises:
        InputError: if a file is missing or of an unknown kind, its name is not UTF-8, or there
            are too many files.
    """
    found = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            matches = sorted(each for each in path.iterdir() if _is_part(each))
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(map(Path, glob.glob(str(path), recursive=True)))
        if not matches:
            raise InputError(f"there is no log {pattern}; give a file, a pattern or a directory.")
        for match in matches:
            check_text(str(match), "the name of the log")
            check_text(os.path.abspath(match), "the path of the log")
            if not match.is_file() or _kind(match) is None:
                raise InputError(
                    f"{match} is not a supported log; it must be a file that ends in "
                    f"{_ENDINGS}, each also with .gz except Parquet."
                )
            # A link may have a known ending when its target does not, so the link's path is kept.
            found.setdefault(match.resolve(), Path(os.path.abspath(match)))
    if len(found) > _MOST_FILES:
        raise InputError(
            f"the log has {len(found):,} files; merge them into {_MOST_FILES:,} or fewer."
        )
    return list(found.values())


def log_name(path: Path) -> str:
    """Returns the name of a log from its first file, in characters valid for any directory."""
    stem = path.name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")[:_LONGEST_NAME] or "events"


def dataset_name(patterns: Iterable[str]) -> str:
    """Returns the dataset name of a log.

    Raises:
        InputError: as in `find_files`.
    """
    return f"log/{log_name(find_files(patterns)[0])}"


def fingerprint(paths: list[Path]) -> list[list]:
    """Returns values that identify the state of the files, independent of their location.

    These are the name, size and modification time of each file, and a checksum of parts of it,
    because archives give all their members the same time. An edit between the parts that keeps the
    size and resets the time goes unnoticed. The inode's time (`st_ctime`) would reveal it, but it
    also changes with a move, a copy or a `chmod`, and each of these would cost a new preparation.
    """
    return [_state(path) for path in paths]


def column_names(pattern: str) -> list[str]:
    """Returns the columns of the first file of a pattern, as far as known without a `LogSpec`.

    Raises:
        InputError: if the file cannot be read.
    """
    path = find_files([pattern])[0]
    kind = _kind(path)
    if kind == PARQUET:
        return list(_parquet_names(path))
    number, line = _first_lines(path)[0]
    if kind == JSON_LINES:
        return list(_first_object(path, number, line))
    return max((_split(path, line, delimiter) for delimiter in _DELIMITERS), key=len)


def inspect(path: Path, spec: LogSpec) -> LogFile:
    """Learns the columns of a file from its first lines.

    Raises:
        InputError: if the file cannot be read or lacks a column.
    """
    kind = _kind(path)
    if spec.events and kind != JSON_LINES:
        raise InputError(f"{path} is not JSON lines, the only format with lists of events.")
    if kind == PARQUET:
        return LogFile(path, kind, _parquet_names(path))
    lines = _first_lines(path, _LINES if spec.columns else 1)
    if kind == JSON_LINES:
        first = _first_object(path, *lines[0])
        wanted = [spec.user, spec.events] if spec.events else spec.named_columns.values()
        check_columns(path, list(first), wanted)
        return LogFile(path, JSON_LINES, tuple(first))
    return (
        _inspect_without_header(path, lines, spec)
        if spec.columns
        else _inspect_csv(path, lines, spec)
    )


def check_columns(path: Path, names, wanted) -> None:
    """Checks that a file has the columns that the user named.

    Raises:
        InputError: if it does not.
    """
    missing = [column for column in wanted if column not in names]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}; its columns are {', '.join(map(str, names))}."
        )


def _is_packed(path):
    return path.suffix.lower() == ".gz"


def _kind(path):
    name = path.with_suffix("") if _is_packed(path) else path
    kind = _KINDS.get(name.suffix.lower())
    return None if kind == PARQUET and _is_packed(path) else kind


def _is_part(path):
    """Returns whether a file in a directory is part of the log, not hidden, empty or a marker."""
    return (
        not path.name.startswith((".", "_"))
        and path.is_file()
        and path.stat().st_size > 0
        and _kind(path) is not None
    )


def _state(path):
    stat = os.stat(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for place in (0, stat.st_size // 2, max(0, stat.st_size - _PART)):
            file.seek(place)
            digest.update(file.read(_PART))
    return [path.name, stat.st_size, stat.st_mtime_ns, digest.hexdigest()]


def open_unpacked(path: Path):
    """Opens a file for reading bytes, decompressed if necessary."""
    return gzip.open(path, "rb") if _is_packed(path) else open(path, "rb")


def _first_lines(path, most=1):
    """Returns the first lines that are not blank, with their numbers."""
    found = []
    try:
        with open_unpacked(path) as content:
            lines = iter(lambda: content.readline(_LONGEST_LINE), b"")
            for number, line in enumerate(lines, start=1):
                _check_text(path, number, line)
                if line.strip():
                    found.append((number, line.decode("utf-8-sig").rstrip("\r\n")))
                if len(found) == most:
                    break
    except UnicodeDecodeError as error:
        if found:  # the reader gives a better message for later lines
            return found
        raise InputError(
            f"{path} line {number}: this is not UTF-8 text; convert the file."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        if not found:
            raise InputError(
                f"{path} cannot be read ({error}); fetch or write it again."
            ) from error
    if not found:
        raise InputError(f"{path} is empty; leave it out.")
    return found


def _check_text(path, number, line):
    """Rejects files that are often mistaken for text, by their first bytes."""
    if number > 1:
        return
    if line.startswith(b"\x1f\x8b"):
        raise InputError(f"{path} is compressed with gzip; rename it to end in .gz.")
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path} is UTF-16, not UTF-8 text; convert the file.")


def _parquet_names(path):
    try:
        return tuple(pyarrow.parquet.read_schema(path).names)
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{path} cannot be read as parquet ({reason}); write it again.") from error


def _first_object(path, number, line):
    if line.lstrip().startswith("["):
        raise InputError(
            f"{path} line {number}: every line must be a JSON object, but this is a list; write "
            f"one object per line."
        )
    try:
        first = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} line {number}: this is not a valid JSON object ({error})."
        ) from error
    if not isinstance(first, dict):
        raise InputError(
            f"{path} line {number}: every line must be a JSON object, got {line[:40]!r}."
        )
    return first


def _inspect_without_header(path, lines, spec):
    columns = len(spec.columns)
    number, line = lines[0]
    fitting = [each for each in _DELIMITERS if len(_split(path, line, each)) == columns]
    if not fitting:
        found = max(len(_split(path, line, each)) for each in _DELIMITERS)
        raise InputError(
            f"{path} line {number} has {found} fields, but {columns} columns are named; name all "
            f"columns of the file in order."
        )
    if len(fitting) > 1:
        fitting = _fitting_all(path, lines, fitting, columns)
    if set(spec.named_columns.values()) <= set(_split(path, line, fitting[0])):
        raise InputError(f"{path} line {number} is a header line; leave out --columns.")
    return LogFile(path, CSV, spec.columns, fitting[0], False, number - 1)


def _fitting_all(path, lines, fitting, columns):
    """Returns the delimiters that fit all of the first lines; exactly one must remain."""
    fitting = [
        each
        for each in fitting
        if all(len(_split(path, line, each)) == columns for _, line in lines)
    ]
    if "\t" in fitting and ".tsv" in path.suffixes:
        return ["\t"]
    if len(fitting) != 1:
        raise InputError(f"{path}: the delimiter of its columns is not clear; add a header line.")
    return fitting


def _inspect_csv(path, lines, spec):
    number, line = lines[0]
    wanted = set(spec.named_columns.values())
    splits = {delimiter: _split(path, line, delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda each: (len(wanted & set(splits[each])), len(splits[each])))
    names = splits[best]
    check_columns(path, names, spec.named_columns.values())
    twice = next((name for name in names if name in wanted and names.count(name) > 1), None)
    if twice:
        raise InputError(f"{path} line {number} names the column {twice!r} twice; rename one.")
    return LogFile(path, CSV, tuple(names), best, blank_lines=number - 1)


def _split(path, line, delimiter):
    if len(delimiter) > 1:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as error:
        ends = " (its lines may end in a bare CR)" if "\r" in line else ""
        raise InputError(f"{path} line 1 cannot be read as CSV ({error}){ends}.") from error
