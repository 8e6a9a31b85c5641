"""Every row of a text file is kept, or dropped and counted, wherever malformed rows are."""

import gzip
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets.event_log import row_scan
from pipelines.datasets.event_log.files import CSV, LogFile
from pipelines.datasets.event_log.row_scan import scan_rows
from pipelines.runtime.errors import InputError

DUCKDB_CUT = 8_000_000  # bytes between DuckDB's cuts
HEADER = b"user,item,kind,time,note\n"
PLAIN = {"behavior": None, "time": None, "target": None}


def good_row(number, width=800):
    return b"u%d,i%d,buy,%d,%s\n" % (number % 97, number % 31, number, b"x" * width)


BAD = {
    "few": b"oops\n",
    "many": b"u,i,buy,1,,extra\n",
    "encoding": b"u,\xff\xfe,buy,1,\n",
    "long": b"z" * 2_100_000 + b"\n",
}


def log_with_bad_rows(place, bad):
    """Returns rows to beyond the second cut, with bad ones after a place, and how many are good."""
    rows, size, number, waiting = [HEADER], len(HEADER), 0, True
    while size < 2 * DUCKDB_CUT + 500_000:
        if waiting and size >= place:
            rows += bad
            size += sum(map(len, bad))
            waiting = False
        rows.append(good_row(number))
        size += len(rows[-1])
        number += 1
    return b"".join(rows), number


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_at_a_cut_loses_nothing(kind, cut, tmp_path, prepare):
    chosen = random.Random(f"{kind}{cut}")
    for offset in (-900, 0, chosen.randrange(-3000, 3000)):
        bad = [BAD[kind]] * chosen.choice((1, 3))
        content, good = log_with_bad_rows(cut * DUCKDB_CUT + offset, bad)
        path = tmp_path / "log.csv"
        path.write_bytes(content)
        report = prepare(path, skip_bad_rows=True, keep_duplicates=True).report
        assert (report.read, report.events) == (good + len(bad), good)
        assert report.dropped[0].events == len(bad)
        line = content[: content.index(bad[0])].count(b"\n") + 1
        assert report.dropped[0].example == f"{path} line {line}"
        with pytest.raises(InputError, match=f"line {line}: "):
            prepare(path)


def test_any_mixture_of_rows_is_counted(tmp_path, prepare):
    chosen = random.Random(7)
    for share in (0.00007, 0.5, 0.9999):
        is_good = [chosen.random() < share for _ in range(100_000)] + [True]
        bad = [BAD["few"], BAD["many"], BAD["encoding"], b"u,i,buy,soon,\n"]
        rows = [good_row(n, 20) if good else chosen.choice(bad) for n, good in enumerate(is_good)]
        path = tmp_path / "log.csv"
        path.write_bytes(HEADER + b"".join(rows))
        report = prepare(path, skip_bad_rows=True, keep_duplicates=True).report
        assert (report.read, report.events) == (len(rows), sum(is_good))


def test_lines_of_any_length_are_counted(tmp_path, prepare):
    for name, start, end in (("log.csv", b"u1,", b""), ("log.jsonl", b'{"user": "', b'"}')):
        good = b"user,item\nu1,a\n" if end == b"" else b'{"user": "u1", "item": "a"}\n'
        path = tmp_path / name
        path.write_bytes(good + start + b"z" * 17_500_000 + end + b"\n" + good.split(b"\n")[-2])
        lines = 2 + (end == b"")
        report = prepare(path, skip_bad_rows=True, **PLAIN).report
        assert (report.read, report.events) == (3, 2)
        assert report.dropped[0].reason == "malformed row (line too long)"
        with pytest.raises(InputError, match=rf"line {lines}: this line has more than [\d,]+ byt"):
            prepare(path, **PLAIN)


def test_a_gzip_file_with_a_wrong_checksum_is_refused(tmp_path, prepare):
    content = bytearray(gzip.compress(HEADER + b"".join(map(good_row, range(50))), mtime=0))
    content[-8] ^= 1
    path = tmp_path / "log.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a complete gzip file .*CRC"):
        prepare(path)
    path = tmp_path / "log.jsonl.gz"
    content = bytearray(gzip.compress(b'{"user": "u", "item": "i"}\n' * 50, mtime=0))
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a complete gzip file .*CRC"):
        prepare(path, **PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [b"no object", b"[1]", b'{"user": "\xff"}', b"[" * 5000])
def test_bad_objects_at_a_cut_lose_nothing(bad, tmp_path, prepare):
    row = b'{"user": "u%d", "item": "i%d", "note": "' + b"x" * 800 + b'"}\n'
    rows = [row % (n % 97, n % 31) for n in range(40_000)]  # more than DuckDB's 32 MB
    place = 33_554_432 // len(rows[0])
    rows[place:place] = [bad + b"\n"] * 3
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(rows))
    report = prepare(path, skip_bad_rows=True, **PLAIN).report
    assert (report.read, report.events) == (40_003, 40_000)
    assert report.dropped[0].example == f"{path} line {place + 1}"
    with pytest.raises(InputError, match=f"line {place + 1}: this is not"):
        prepare(path, **PLAIN)


def test_empty_lists_of_events_are_no_lost_lines(tmp_path, prepare):
    path = tmp_path / "log.jsonl"
    path.write_text('{"user": "u", "on": [{"item": "a"}]}\n{"user": "v", "on": []}\n')
    assert prepare(path, events="on", **PLAIN).users == ["u"]


_MEASURE = """
import resource, sys, tempfile
from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.reading import read_event_log
from pipelines.datasets.event_log.workspace import Workspace
from pipelines.runtime.errors import InputError

def read(path):
    spec = LogSpec((path,), "user", "item", skip_bad_rows=True)
    with Workspace(tempfile.gettempdir()) as workspace:
        return read_event_log("log", spec, workspace).report.read

read(sys.argv[1])
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(read(sys.argv[2]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_bad_rows(tmp_path):
    """The limit is about 200 bytes per bad row; keeping the rows would take 1.4 kB each."""
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    small.write_bytes(b"user,item\nu,i\n")
    large.write_bytes(b"user,item\nu,i\n" + b"x\n" * 5_000_000)
    child = [sys.executable, "-c", _MEASURE, str(small), str(large)]
    assert subprocess.run(child, capture_output=True, check=True, text=True).stdout == "5000001\n"


def slow_rows(text, delimiter, quotes):
    """Returns (fields, first line) of every non-blank row, scanning character by character."""
    rows, place, line = [], 0, 1
    while place < len(text):
        first_line, start, fields = line, place, 1
        while True:
            blanks = place
            while quotes and delimiter != " " and text[blanks] == " ":
                blanks += 1
            if quotes and text[blanks] == '"':
                place = blanks + 1
                while True:
                    place = text.find('"', place)
                    if place < 0:
                        return rows, first_line
                    if text[place + 1] != '"':
                        break
                    place += 2
                place += 1
                while delimiter != " " and text[place] == " ":
                    place += 1
                if text[place : place + 2] == "\r\n":
                    place += 1
                if not text.startswith((delimiter, "\n"), place):
                    return rows, first_line
            while not text.startswith((delimiter, "\n"), place):
                place += 1
            if text[place] == "\n":
                break
            place += len(delimiter)
            fields += 1
        place += 1
        line = text.count("\n", 0, place) + 1
        if text[start:place] not in ("\n", "\r\n"):
            rows.append((fields, first_line))
    return rows, None


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(
    text=st.text('a",; \n\r:', max_size=40).map(lambda text: text.rstrip("\n") + "\n"),
    delimiter=st.sampled_from([",", " ", "::"]),
    block=st.integers(1, 9),
)
def test_rows_are_those_of_a_slow_reader(text, delimiter, block, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_text(text, newline="")
    file = LogFile(path, CSV, ("user", "item"), delimiter, has_header=False)
    expected, open_line = slow_rows(text, delimiter, quotes=len(delimiter) == 1)
    found, refused = [], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_scan, "_BLOCK", block)
        try:
            for rows in scan_rows(file):
                found += zip(rows.fields.tolist(), rows.lines.tolist(), strict=True)
        except InputError as error:
            refused = int(str(error).split(" line ")[1].split(":")[0])
    assert (found, refused) == (expected, open_line)


def test_the_good_parts_are_the_good_rows(tmp_path):
    chosen = np.random.default_rng(0)
    lines = [
        [b"a,b\n", b"\n", b'"a\n","b"\n', b"bad\n", b"\xff,b\n"][n]
        for n in chosen.integers(0, 5, 5000)
    ]
    path = tmp_path / "log.csv"
    path.write_bytes(b"".join(lines))
    file = LogFile(path, CSV, ("user", "item"), has_header=False)
    good = b"".join(part for rows in scan_rows(file) for part in rows.good_parts())
    assert good == b"".join(line for line in lines if line in (b"a,b\n", b'"a\n","b"\n'))
