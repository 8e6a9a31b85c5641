"""Malformed rows and files give one sentence with the place, or are counted."""

import gzip

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.runtime.errors import InputError

GOOD = "user,item,kind,time\nu1,a,view,1\nu1,b,buy,2\n"


def write(folder, content, name="log.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(prepare, path, message, **options):
    with pytest.raises(InputError, match=message) as caught:
        prepare(path, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert str(path) in str(caught.value)


LINES = [
    ("u1,,view,3", "line 4: the item is missing", "item missing"),
    (",c,view,3", "line 4: the user is missing", "user missing"),
    ('"",c,view,3', "line 4: the user is missing", "user missing"),
    ("u1,c,,3", "line 4: the behaviour is missing", "behaviour missing"),
    ("u1,c,view,", "line 4: the time is missing", "time missing"),
    ("u1,c,view,soon", "line 4: the time 'soon' is not a finite number within 64", "bad time"),
    ("u1,c,view,2024-01-01", "line 4: the time '2024-01-01' is not a finite number", "bad time"),
    ("u1,c,view,inf", "line 4: the time 'inf' is not", "bad time"),
    ("u1,c,view,nan", "line 4: the time 'nan' is not", "bad time"),
    ("u1,c,view,9223372036854775808", "line 4: the time '9223372036854775808' is", "bad time"),
    ("u1,c,wish,3", "line 4: 'wish' is not one of the named behaviours", "unknown behaviour"),
    ('u1,"c\nd",view,3', r"line 4: the id 'c\\nd' has a line break", "line break in an id"),
    ("u1,c,view", "line 4: this line has 3 fields instead of 4", "malformed row"),
    ("u1,c,view,3,4", "line 4: this line has 5 fields instead of 4", "malformed row"),
    (b"u1,\xff\xfe,view,3", "line 4: this is not UTF-8 text", "malformed row"),
]


@pytest.mark.parametrize(("line", "message", "reason"), LINES)
def test_a_bad_line_of_csv(line, message, reason, tmp_path, prepare):
    line = line if isinstance(line, bytes) else line.encode()
    path = write(tmp_path, GOOD.encode() + line + b"\nu2,c,buy,9\n")
    options = {"behaviors": ("view", "buy")}
    refused(prepare, path, f"{message}.*; correct it, or skip such rows with", **options)
    prepared = prepare(path, skip_bad_rows=True, **options)
    assert prepared.users == ["u1", "u2"]
    assert prepared.histories == [[(1, 1, 1), (2, 2, 2)], [(3, 2, 9)]]
    first, duplicates = prepared.report.dropped
    assert first.reason.startswith(reason)
    assert first.events == 1
    assert first.example == f"{path} line 4"
    assert duplicates.events == 0
    assert prepared.report.read == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('u1,"c\n{}",view,3', r"the id 'c\\nx{38}\.\.\.' has a line break"),
        ("u1,c,{},3", r"'x{40}\.\.\.' is not one of the named"),
        ("u1,c,view,{}", r"the time 'x{40}\.\.\.' is not"),
        ("u1,{},view,3", r"an id has more than 1000 characters: x{40}\.\.\.;"),
    ],
)
def test_a_message_holds_the_beginning_of_a_long_cell(line, message, tmp_path, prepare):
    path = write(tmp_path, GOOD + line.format("x" * 100_000) + "\nu2,c,buy,9\n")
    refused(prepare, path, message, behaviors=("view", "buy"))


def test_the_line_counts_blank_lines_and_line_breaks(tmp_path, prepare):
    content = 'user,item,kind,time,title\n\nu1,a,buy,1,"two\nlines"\n\nu1,b,buy,x,none\n'
    refused(prepare, write(tmp_path, content), "line 6: the time 'x'")
    packed = gzip.compress(content.encode())
    refused(prepare, write(tmp_path, packed, "log.csv.gz"), "line 6: the time 'x'")


def test_the_line_far_into_a_file(tmp_path, prepare):
    good = "".join(f"u{n},i,buy,{n}\n" for n in range(300_000))
    for bad in ("u,i,buy,x", "u,i,buy"):
        path = write(tmp_path, f"user,item,kind,time\n{good}{bad}\n{good}")
        refused(prepare, path, "line 300002: ")


def test_all_reasons_are_counted_with_their_first_place(tmp_path, prepare):
    bad = ["u1,c,view", ",c,view,3", "u1,c,view,x", ",c,view,4", "u1,c", "u1,c,view,y"]
    path = write(tmp_path, GOOD + "\n".join(bad) + "\n")
    report = prepare(path, skip_bad_rows=True).report
    found = {each.reason: (each.events, each.example) for each in report.dropped}
    assert found == {
        "malformed row (missing columns)": (2, f"{path} line 4"),
        "user missing": (2, f"{path} line 5"),
        "bad time": (2, f"{path} line 6"),
        "duplicate": (0, None),
    }
    assert report.read == 8


def test_an_open_quotation_mark_cannot_be_skipped(tmp_path, prepare):
    path = write(tmp_path, GOOD + 'u1,"c,view,3\nu2,c,buy,9\n')
    for skip in (False, True):
        refused(prepare, path, "line 4: a quotation mark is opened", skip_bad_rows=skip)


@pytest.mark.parametrize(
    ("line", "message", "reason"),
    [
        ('{"user": "u1", bad', "line 4: this is not valid JSON", "malformed row"),
        ('{"user": "u1", "item": null, "kind": "buy", "time": 3}', "line 4: the item", "item"),
        ('{"user": "u1", "kind": "buy", "time": 3}', "line 4: the item is missing", "item"),
        ('{"user": "u1", "item": 3, "kind": "buy", "time": {}}', "line 4: the time '{}'", "bad t"),
        (
            b'{"user": "\xff", "item": 3, "kind": "buy", "time": 3}',
            "line 4: this is not UTF",
            "malf",
        ),
        ("[1, 2]", "line 4: this is not a JSON object", "malformed row"),
    ],
)
def test_a_bad_line_of_json(line, message, reason, tmp_path, prepare):
    good = '{"user": "u1", "item": "a", "kind": "buy", "time": 1}\n'
    line = line if isinstance(line, bytes) else line.encode()
    content = f"{good}\n{good}".encode() + line + f"\n{good}".encode()
    path = write(tmp_path, content, "log.jsonl")
    refused(prepare, path, message)
    report = prepare(path, skip_bad_rows=True).report
    assert report.dropped[0].reason.startswith(reason)
    assert report.dropped[0].events == 1
    assert report.dropped[0].example == f"{path} line 4"
    assert report.read == 4


def test_a_bad_row_of_parquet(tmp_path, prepare):
    table = pa.table(
        {
            "user": ["u1", "u1", None],
            "item": ["a", "b", "c"],
            "kind": ["buy", "buy", "buy"],
            "time": [1.0, float("nan"), 3.0],
        }
    )
    path = tmp_path / "log.parquet"
    pa.parquet.write_table(table, path)
    refused(prepare, path, "row 2: the time 'nan' is not")
    report = prepare(path, skip_bad_rows=True).report
    assert [each.example for each in report.dropped[:2]] == [f"{path} row 2", f"{path} row 3"]


def test_a_bad_rating(tmp_path, prepare):
    path = write(tmp_path, "user,item,stars,time\nu1,a,5,1\nu1,b,five,2\n")
    options = {"behavior": None, "rating": "stars", "levels": "bad<3,good", "target": "good"}
    refused(prepare, path, "line 3: the rating 'five' is not a number", **options)


def packed(keep):
    # Without a time stamp, because test names contain the bytes and must agree between processes.
    content = gzip.compress(GOOD.encode() * 1000, mtime=0)
    return content[: int(len(content) * keep)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv.gz", packed(0.5), "not a complete gzip file"),
        ("log.csv.gz", packed(0.98), "not a complete gzip file"),
        ("log.csv.gz", b"no gzip", "cannot be read .*ot a gzipped file"),
        ("log.csv", b"", "is empty"),
        ("log.csv", b"\n\n", "is empty"),
        ("log.csv", GOOD.encode("utf-16"), "is UTF-16, not UTF-8 text"),
        ("log.csv", GOOD.replace("\n", "\r\n", 1), "has mixed line endings"),
        (
            "log.csv",
            "user,item,kind,kind,time\n1,2,3,4,5\n",
            "line 1 names the column 'kind' twice",
        ),
        ("log.jsonl", "user,item,kind,time\n", "line 1: this is not a valid JSON object"),
        ("log.jsonl", '{"a":' * 9000, "line 1: this is not a valid JSON object"),
        ("log.jsonl", "[1]\n", "line 1: every line must be a JSON object, but this is a list"),
        ("log.jsonl", "\n7\n", "line 2: every line must be a JSON object, got '7'"),
        ("log.csv", packed(1), "is compressed with gzip; rename it to end in .gz"),
        ("log.csv", "user,item\ru,a\r", r"cannot be read as CSV .*bare CR"),
        ("log.csv", b"user,\xff", "line 1: this is not UTF-8 text"),
        ("log.parquet", b"PAR1 nonsense", "cannot be read as parquet"),
        ("log.csv", GOOD.replace("item", "thing"), "no column 'item'; its columns are user, thi"),
        ("log.jsonl", '{"user": 1, "time": 2}\n', "no column 'item'; its columns are user, time"),
        ("log.xlsx", b"x", "is not a supported log; it must be a file that ends in .csv"),
        ("log.parquet.gz", b"x", "is not a supported log"),
    ],
)
def test_files_that_cannot_be_read(name, content, message, tmp_path, prepare):
    refused(prepare, write(tmp_path, content, name), message)


def test_a_truncated_parquet_file(tmp_path, write_log, prepare):
    path = write_log("log.parquet", [("u", "i", "buy", 1)] * 100)
    path.write_bytes(path.read_bytes()[:-30])
    refused(prepare, path, "cannot be read as parquet")


def test_missing_files_and_columns(tmp_path, prepare, write_log):
    refused(prepare, tmp_path / "none.csv", "there is no log")
    refused(prepare, tmp_path / "*.csv", "there is no log")
    refused(prepare, tmp_path, "there is no log")
    parquet = write_log("log.parquet", [("u", "i", "buy", 1)])
    refused(prepare, parquet, "has no column 'who'; its columns are user, item, kind", user="who")


def test_times_of_different_forms(tmp_path, prepare, write_log):
    write_log("a.csv", [("u", "i", "buy", "2024-01-01")], folder=tmp_path)
    later = write_log("b.csv", [("u", "i", "buy", 7)], folder=tmp_path)
    with pytest.raises(InputError, match=f"{later} has numbers as times and the files before"):
        prepare(tmp_path)


def test_times_that_are_none(tmp_path, prepare):
    table = pa.table({"user": ["u"], "item": ["i"], "kind": ["buy"], "time": [[1, 2]]})
    pa.parquet.write_table(table, tmp_path / "log.parquet")
    refused(prepare, tmp_path / "log.parquet", "the column 'time' holds BIGINT.*must be a number")


def test_nothing_left(tmp_path, prepare):
    path = write(tmp_path, GOOD)
    with pytest.raises(InputError, match="log has no event left of 2"):
        prepare(path, min_user_events=3)
    bad = write(tmp_path, "user,item,kind,time\n,a,buy,1\n")
    with pytest.raises(InputError, match="log has no event left of 1"):
        prepare(bad, skip_bad_rows=True)


def test_behaviors_that_are_none(tmp_path, prepare):
    path = write(tmp_path, GOOD)
    with pytest.raises(InputError, match="no event of the target 'like'; its behaviours are buy"):
        prepare(path, target="like")
    many = "".join(f"u,i,k{n},{n}\n" for n in range(40))
    with pytest.raises(InputError, match="40 different values in the column 'kind'"):
        prepare(write(tmp_path, "user,item,kind,time\n" + many), target="k1")
