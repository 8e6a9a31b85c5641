"""Cuts text files into rows without DuckDB, finds malformed rows and counts the others.

DuckDB reads a file in parallel parts, and loses rows if a malformed one follows a cut. So this
module decides which rows are complete: DuckDB sees only those, and must read exactly that many.
Memory does not grow with the file, its malformed rows or their length.
"""

from __future__ import annotations

import codecs
import dataclasses
import re
from collections.abc import Iterator

import numpy as np

from pipelines.datasets.event_log.files import JSON_LINES, LogFile, open_unpacked
from pipelines.runtime.errors import InputError

GOOD, FEW_FIELDS, MANY_FIELDS, NOT_UTF8, LONG = range(5)
# The reasons under which malformed rows are counted.
REASONS = {
    FEW_FIELDS: "missing columns",
    MANY_FIELDS: "too many columns",
    NOT_UTF8: "invalid encoding",
    LONG: "line too long",
}
_BLOCK = 1 << 20  # bytes that are processed together
LONGEST_ROW = 2_000_000  # bytes of a CSV row; DuckDB's limit is 2 MiB
LONGEST_OBJECT = 16_000_000  # bytes of a JSON line; DuckDB's limit is 16 MiB
_BREAK, _RETURN, _QUOTE = b'\n\r"'


@dataclasses.dataclass(frozen=True)
class Rows:
    """Consecutive rows of a file, without blank lines and the header.

    Args:
        content: the bytes that contain them.
        starts: int64 [rows], offset of the first byte of each row.
        ends: int64 [rows], offset of the byte after each row and its line break.
        lines: int64 [rows], the line on which each row begins, from 1.
        fields: int64 [rows], number of fields of each row; 1 for JSON.
        problems: uint8 [rows], `GOOD` or a key of `REASONS`.
        in_lines: whether no row contains a line break.
    """

    content: bytes
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    fields: np.ndarray
    problems: np.ndarray
    in_lines: bool = True

    def good_parts(self) -> Iterator[bytes]:
        """Yields the bytes of the complete rows, joining consecutive ones."""
        good = self.problems == GOOD
        starts, ends = self.starts[good], self.ends[good]
        if not len(starts):
            return
        gaps = np.flatnonzero(starts[1:] != ends[:-1])
        for start, end in zip(
            starts[np.append(0, gaps + 1)], ends[np.append(gaps, -1)], strict=True
        ):
            yield self.content[start:end]


def scan_rows(file: LogFile) -> Iterator[Rows]:
    """Yields all rows of a CSV or JSON lines file, block by block.

    Raises:
        InputError: if a quotation mark is opened and the field does not end with one.
        OSError, EOFError, zlib.error: if the file cannot be read or unpacked.
    """
    is_json = file.kind == JSON_LINES
    cutter = _JSON if is_json else _CSV(file)
    longest = LONGEST_OBJECT if is_json else LONGEST_ROW
    skip_header = not is_json and file.has_header
    for content, line, cut in _pieces(file, cutter, longest):
        rows = _rows(content, line, cut, cutter, longest)
        if skip_header and len(rows.starts):
            columns = ("starts", "ends", "lines", "fields", "problems")
            rest = {name: getattr(rows, name)[1:] for name in columns}
            rows, skip_header = dataclasses.replace(rows, **rest), False
        yield rows


@dataclasses.dataclass(frozen=True)
class _Cut:
    """The ends of the rows in a block of bytes, and whether the rest is inside quotation marks."""

    ends: np.ndarray
    fields: np.ndarray
    is_open: bool = False


def _pieces(file, cutter, longest):
    """Yields blocks of bytes that end with a row, the line on which they begin and their cut."""
    rest, line = b"", 1
    with open_unpacked(file.path) as stream:
        while True:
            block = stream.read(_BLOCK)
            if line == 1 and not rest:
                block = block.removeprefix(codecs.BOM_UTF8)
            content = rest + block
            if not block:
                if not content:
                    return
                content += b"" if content.endswith(b"\n") else b"\n"
            cut = cutter.cut(content)
            if len(cut.ends):
                end = int(cut.ends[-1])
                yield content, line, cut
                line += content.count(b"\n", 0, end)
                rest = content[end:]
            elif cut.is_open and (not block or len(content) > longest):
                raise InputError(
                    f"{file.path} line {line}: a quotation mark is opened and the field does not "
                    f"end with one; correct the line, since it is unclear where its row ends."
                )
            elif len(content) > longest:
                rest = _skip_line(stream)
                yield b"", line, _Cut(np.array([longest + 1]), np.array([1]))
                line += 1
            else:
                rest = content
            if not block:
                if rest and len(cut.ends):
                    continue  # the rest has an open quotation mark
                return


def _skip_line(stream):
    """Reads to the end of a line; returns the rest of the last block."""
    while block := stream.read(_BLOCK):
        _, found, rest = block.partition(b"\n")
        if found:
            return rest
    return b""


def _rows(content, line, cut, cutter, longest):
    ends = cut.ends
    starts = np.concatenate([[0], ends[:-1]])
    problems = cutter.problems(cut.fields)
    problems[ends - starts > longest] = LONG
    if not content:  # a line that is too long
        zero = np.zeros(1, np.int64)
        return Rows(content, zero, zero, zero + line, cut.fields, problems)
    data = np.frombuffer(content, np.uint8)
    in_lines = content.count(b"\n", 0, int(ends[-1])) == len(ends)
    if in_lines:
        lines = line + np.arange(len(ends))
    else:
        lines = line + np.searchsorted(np.flatnonzero(data == _BREAK), starts)
    _check_utf8(content, starts, ends, problems)
    kept = ~cutter.blank(content, data, starts, ends)
    columns = (starts, ends, lines, cut.fields, problems)
    return Rows(content, *(column[kept] for column in columns), in_lines)


def _check_utf8(content, starts, ends, problems):
    """Marks the rows that are not UTF-8."""
    if content.isascii() or _is_utf8(content[: ends[-1]]):
        return
    for row in range(len(ends)):
        if problems[row] == GOOD and not _is_utf8(content[starts[row] : ends[row]]):
            problems[row] = NOT_UTF8


def _is_utf8(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


class _JSON:
    """Cuts JSON lines: every line is a row; DuckDB checks whether it holds an object."""

    @staticmethod
    def cut(content):
        ends = np.flatnonzero(np.frombuffer(content, np.uint8) == _BREAK) + 1
        return _Cut(ends, np.ones(len(ends), np.int64))

    @staticmethod
    def problems(fields):
        return np.zeros(len(fields), np.uint8)

    @staticmethod
    def blank(content, data, starts, ends):
        del content
        return ~np.logical_or.reduceat(data[: ends[-1]] > ord(" "), starts)


class _CSV:
    """Cuts CSV into rows; a field that begins with a quotation mark ends with one."""

    def __init__(self, file):
        self._path = file.path
        self._delimiter = file.delimiter.encode()
        self._columns = len(file.names)
        delimiter = re.escape(self._delimiter)
        blanks = b"" if self._delimiter == b" " else rb" *+"
        self._plain = re.compile(rb'(?!%b")[^\n%b]*+(%b|\n)' % (blanks, delimiter, delimiter))
        self._opening = re.compile(rb'%b"' % blanks)
        self._quoted = re.compile(rb'%b"(?:[^"]++|"")*+"' % blanks)
        self._after = re.compile(rb"%b(%b|\r?\n)" % (blanks, delimiter))

    def problems(self, fields):
        few, many = fields < self._columns, fields > self._columns
        return (few * FEW_FIELDS + many * MANY_FIELDS).astype(np.uint8)

    def blank(self, content, data, starts, ends):
        lengths = ends - starts
        return (lengths == 1) | ((lengths == 2) & (data[starts] == _RETURN))

    def cut(self, content):
        data = np.frombuffer(content, np.uint8)
        breaks = np.flatnonzero(data == _BREAK)
        if len(self._delimiter) > 1:
            return self._cut_at_text(content, data, breaks)
        delimiters = np.flatnonzero(data == self._delimiter[0])
        is_open = False
        if b'"' in content:
            quotes = np.flatnonzero(data == _QUOTE)
            if not self._encloses_fields(data, quotes):
                return self._cut_line_by_line(content, breaks, delimiters, quotes)
            is_open = len(quotes) % 2 == 1
            breaks = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
            delimiters = delimiters[np.searchsorted(quotes, delimiters) % 2 == 0]
        return _Cut(breaks + 1, _between(delimiters, breaks) + 1, is_open)

    def _cut_at_text(self, content, data, breaks):
        """Cuts at a two-character delimiter, with which quotation marks have no meaning."""
        first, second = self._delimiter
        delimiters = np.flatnonzero((data[:-1] == first) & (data[1:] == second))
        if len(delimiters) and (np.diff(delimiters) == 1).any():  # `:::` has one delimiter, not two
            rows = content.split(b"\n")[: len(breaks)]
            fields = np.array([row.count(self._delimiter) + 1 for row in rows], np.int64)
        else:
            fields = _between(delimiters, breaks) + 1
        return _Cut(breaks + 1, fields)

    def _encloses_fields(self, data, quotes):
        """Returns whether each quotation mark begins or ends a field, or is doubled in one."""
        opening, closing = quotes[::2], quotes[1::2]
        before = data[opening[opening > 0] - 1]
        following = closing[closing + 1 < len(data)] + 1
        after = data[following]
        returns = following[after == _RETURN] + 1
        after = after[after != _RETURN]
        own = self._delimiter[0]
        return bool(
            ((before == own) | (before == _BREAK) | (before == _QUOTE)).all()
            and ((after == own) | (after == _BREAK) | (after == _QUOTE)).all()
            and (data[returns[returns < len(data)]] == _BREAK).all()
        )

    def _cut_line_by_line(self, content, breaks, delimiters, quotes):
        """Cuts as `cut` does, slowly, with quotation marks in fields and blanks around them."""
        kept, fields = np.ones(len(breaks), bool), {}
        whole, is_open = len(breaks), False
        following = 0  # the line after the last row read
        for line in np.flatnonzero(_between(quotes, breaks)):
            if line < following:
                continue
            start = breaks[line - 1] + 1 if line else 0
            end, count = self._read_row(content, int(start))
            if end is None:
                whole, is_open = line, True
                break
            last = int(np.searchsorted(breaks, end - 1))
            kept[line:last] = False
            fields[last] = count
            following = last + 1
        if not len(breaks):
            is_open = self._read_row(content, 0)[1] < 0
        kept[whole:] = False
        rows = np.flatnonzero(kept)
        counts = _between(delimiters, breaks[rows]) + 1
        for last, count in fields.items():
            counts[np.searchsorted(rows, last)] = count
        return _Cut(breaks[rows] + 1, counts, is_open)

    def _read_row(self, content, place):
        """Returns the end and fields of a row; None if it has no end, and -1 in quotation marks."""
        count = 0
        while True:
            found = self._plain.match(content, place)
            if not found:
                if not self._opening.match(content, place):
                    return None, 0
                quoted = self._quoted.match(content, place)
                found = quoted and self._after.match(content, quoted.end())
                if not found:
                    return None, -1
            place, count = found.end(), count + 1
            if found[1][-1] == _BREAK:
                return place, count


def _between(delimiters, breaks):
    """Counts the delimiters between each break and the previous one."""
    return np.diff(np.searchsorted(delimiters, breaks), prepend=0)
