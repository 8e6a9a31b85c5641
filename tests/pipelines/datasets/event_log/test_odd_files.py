"""Files with unusual contents and names are read correctly, or refused."""

import contextlib
import gzip
import io
import json
import os

import pyarrow as pa
import pyarrow.parquet
import pytest
from rich.console import Console

from pipelines.datasets import load_log
from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.files import find_files, log_name
from pipelines.datasets.event_log.report import report_table
from pipelines.runtime.errors import InputError

PLAIN = {"behavior": None, "time": None, "target": None}
TIMED = {"behavior": None, "target": None}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def events(prepared):
    """Returns (user, item) of all events in order."""
    return [
        (user, prepared.items[item - 1])
        for user, history in zip(prepared.users, prepared.histories, strict=True)
        for item, _, _ in history
    ]


@pytest.mark.parametrize("name", ["log[1]", "log*", "log?", "log{1,2}", "it's", 'a "b" (c)'])
def test_names_of_files_are_no_patterns(name, tmp_path, prepare, write_log):
    for other in ("log1", "logx", "log2"):
        write(tmp_path / f"{other}.csv", "user,item\nWRONG,w\n")
    columns = ("user", "item")
    for form in ("csv", "jsonl", "parquet"):
        path = write_log(f"{name}.{form}", [("RIGHT", "r")], columns, folder=tmp_path)
        assert events(prepare(path, **PLAIN)) == [("RIGHT", "r")]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_names_of_directories_are_no_columns(form, tmp_path, prepare, write_log):
    folder = tmp_path / "user=7"
    folder.mkdir()
    path = write_log(f"item=9.{form}", [("u1", "a")], ("user", "item"), folder=folder)
    assert events(prepare(path, **PLAIN)) == [("u1", "a")]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "name", ["row", "ROW", "file_row_number", "moment", "joined", "filename", "c0", "happening"]
)
def test_columns_may_be_called_like_ours(name, form, prepare, write_log):
    rows = [("u", "a", 3), ("u", "b", 2), ("u", "c", 1)]
    path = write_log(f"log.{form}", rows, ("user", "item", name))
    assert events(prepare(path, **PLAIN)) == [("u", "a"), ("u", "b"), ("u", "c")]
    timed = prepare(path, **{**PLAIN, "time": name})
    assert events(timed) == [("u", "c"), ("u", "b"), ("u", "a")]


@pytest.mark.parametrize(
    "content",
    [
        ",user,item\n0,u1,a\n1,u2,b\n",  # the index of a data frame
        "user,item,\nu1,a,\nu2,b,\n",  # trailing delimiters
        ",,user,item\n,,u1,a\n,,u2,b\n",
        "user,item,Extra,extra\nu1,a,1,2\nu2,b,1,2\n",
        "x,user,x,item\n1,u1,2,a\n1,u2,2,b\n",
        "\n\nuser,item\nu1,a\nu2,b\n",
        "User,USER,user,item\n1,2,u1,a\n1,2,u2,b\n",
        "user,item\r\nu1,a\r\n\r\nu2,b\r\n",
        "\ufeffuser;item\nu1;a\nu2;b\n",
        '"user","item"\n"u1","a"\n"u2","b"\n',
    ],
)
def test_tables_as_programs_write_them(content, tmp_path, prepare):
    prepared = prepare(write(tmp_path / "log.csv", content), **PLAIN)
    assert events(prepared) == [("u1", "a"), ("u2", "b")]


def test_a_bad_line_below_blank_ones(tmp_path, prepare):
    path = write(tmp_path / "log.csv", "\n\nuser,item\nu1,a\nu2,\n")
    with pytest.raises(InputError, match="line 5: the item is missing"):
        prepare(path, **PLAIN)
    path = write(tmp_path / "log.csv", "\n\nuser,item\nu1,a\nu2\n")
    with pytest.raises(InputError, match="line 5: this line has 1 fields instead of 2"):
        prepare(path, **PLAIN)


def test_a_parquet_file_whose_columns_differ_in_case(tmp_path, prepare):
    arrays = [pa.array(["no"]), pa.array(["u1"]), pa.array(["a"])]
    table = pa.Table.from_arrays(arrays, names=["User", "user", "item"])
    pa.parquet.write_table(table, tmp_path / "log.parquet")
    assert events(prepare(tmp_path / "log.parquet", **PLAIN)) == [("u1", "a")]


def test_an_index_of_columns_is_no_header(tmp_path, prepare):
    path = write(tmp_path / "log.csv", "user,item\nu1,a\n")
    with pytest.raises(InputError, match="line 1 is a header line; leave out --columns"):
        prepare(path, columns=("user", "item"), **PLAIN)


def test_delimiters_without_a_header(tmp_path, prepare):
    columns = {"columns": ("user", "item"), **PLAIN}
    path = write(tmp_path / "log.csv", "Smith, J;item5\nDoe, A;item6\n")
    with pytest.raises(InputError, match="the delimiter of its columns is not clear"):
        prepare(path, **columns)
    path = write(tmp_path / "log.csv", "Smith, J;item5\nDoe;item6\n")
    assert events(prepare(path, **columns)) == [("Doe", "item6"), ("Smith, J", "item5")]
    path = write(tmp_path / "log.tsv", "a,b\tx\nc,d\ty\n")
    assert events(prepare(path, **columns)) == [("a,b", "x"), ("c,d", "y")]


@pytest.mark.parametrize("text", ["24/12/23", "01/02/24", "24-12-23", "5/31/2024 10:00", "10:30"])
def test_dates_without_a_year_of_four_digits_are_none(text, prepare, write_log):
    path = write_log("log.csv", [("u", "a", text)], ("user", "item", "time"))
    with pytest.raises(InputError, match=f"'{text}' is neither a number nor a date such as 2024"):
        prepare(path, **TIMED)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_ids_that_are_no_number_are_missing(value, tmp_path, prepare):
    table = pa.table({"user": [1.0, value], "item": ["a", "b"]})
    pa.parquet.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(InputError, match="row 2: the user is missing"):
        prepare(tmp_path / "log.parquet", **PLAIN)


def test_quotation_marks_in_tables_with_tabs(tmp_path, prepare):
    """There they rarely quote anything, and two of them would swallow the rows in between."""
    path = write(tmp_path / "log.tsv", 'user\ttitle\titem\nu1\t"abc\ta\nu2\tdef"\tb\nu3\tok\tc\n')
    with pytest.raises(InputError, match="line 2: a quotation mark joins this line"):
        prepare(path, **PLAIN)


def test_very_long_ids(tmp_path, prepare):
    path = write(tmp_path / "log.csv", f"user,item\nu1,{'a' * 1000}\nu2,{'b' * 1001}\n")
    with pytest.raises(InputError, match="line 3: an id has more than 1000 characters: bbb"):
        prepare(path, **PLAIN)
    assert prepare(path, skip_bad_rows=True, **PLAIN).users == ["u1"]


def nested(tmp_path, *objects):
    return write(tmp_path / "log.jsonl", "".join(json.dumps(each) + "\n" for each in objects))


def test_nested_names_may_stand_outside_too(tmp_path):
    path = nested(tmp_path, {"ID": "u9", "event": [{"id": "a"}, {"id": "b"}]})
    spec = LogSpec((str(path),), "ID", "id", events="event")
    assert load_log(spec, tmp_path / "cache").items.tolist() == ["a", "b"]
    path = nested(tmp_path, {"id": "u9", "line": [{"id": "a"}, {"id": "b"}]})
    spec = LogSpec((str(path),), "id", "id", events="line")
    assert load_log(spec, tmp_path / "cache").items.tolist() == ["a", "b"]


@pytest.mark.slow
def test_a_very_long_list_of_events(tmp_path, prepare):
    long = [{"item": f"i{n % 7}"} for n in range(300_000)]
    path = nested(
        tmp_path, {"user": "u", "on": long}, {"user": "u", "on": [{"item": "x"}, {"item": "y"}]}
    )
    prepared = prepare(path, events="on", **PLAIN)
    assert [item for _, item in events(prepared)][-2:] == ["x", "y"]
    assert len(prepared.histories[0]) == 300_002
    path = nested(tmp_path, {"user": "u", "on": long}, {"user": "u", "on": [{"item": None}]})
    with pytest.raises(InputError, match="line 2: the item is missing"):
        prepare(path, events="on", **PLAIN)


def test_lists_of_events_stand_in_json_lines_alone(tmp_path, prepare):
    path = write(tmp_path / "log.csv", "user,item\nu1,a\n")
    with pytest.raises(InputError, match="is not JSON lines"):
        prepare(path, events="item", **PLAIN)


def test_parts_without_times_say_nothing_of_their_form(tmp_path, prepare):
    write(tmp_path / "a.csv", "user,item,time\n")
    write(tmp_path / "b.csv", "user,item,time\nu,x,2024-01-02\nu,y,2024-01-01\n")
    assert events(prepare(tmp_path, **TIMED)) == [("u", "y"), ("u", "x")]


def test_directories_as_they_are_found(tmp_path, prepare):
    write(tmp_path / "part-0.CSV", "user,item\nu,a\n")
    write(tmp_path / "part-1.csv.GZ", gzip.compress(b"user,item\nu,b\n"))
    write(tmp_path / "part-2.csv", b"")
    write(tmp_path / "._part-0.csv", b"\x00\x05\x16")
    write(tmp_path / "_SUCCESS", b"")
    (tmp_path / "sub.csv").mkdir()
    assert events(prepare(tmp_path, **PLAIN)) == [("u", "a"), ("u", "b")]


def test_links(tmp_path, prepare):
    write(tmp_path / "blobs" / "abc123", "user,item\nu,a\n")
    (tmp_path / "log.csv").symlink_to(tmp_path / "blobs" / "abc123")
    assert events(prepare(tmp_path / "log.csv", **PLAIN)) == [("u", "a")]
    (tmp_path / "same.csv").symlink_to(tmp_path / "log.csv")
    assert len(find_files([str(tmp_path / "log.csv"), str(tmp_path / "same.csv")])) == 1


def test_equal_names_sizes_and_times_are_not_equal_files(tmp_path):
    for day, item in (("day1", "a"), ("day2", "b")):
        os.utime(write(tmp_path / day / "ev.csv", f"user,item\nu,{item}\n"), (1e9, 1e9))

    def items(*days):
        spec = LogSpec(tuple(str(tmp_path / day / "ev.csv") for day in days), "user", "item")
        dataset = load_log(spec, tmp_path / "cache")
        return dataset.items[dataset.item_ids - 1].tolist()

    assert items("day1") == ["a"]
    assert items("day2") == ["b"]
    assert items("day1", "day2") == ["a", "b"]
    assert items("day2", "day1") == ["b", "a"]


@pytest.mark.parametrize("name", ["[/x]", "[red]", "[bold]buy", "🛒"])
def test_the_table_shows_names_as_they_are(name, prepare, write_log):
    rows = [("u", "a", name, 1), ("u", "b", "buy", 2), ("u", None, "buy", 3)]
    path = write_log("l[a].csv", rows)
    report = prepare(path, skip_bad_rows=True).report
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        Console(width=300).print(report_table(report))
    assert name in stdout.getvalue()
    assert f"{path} line 4" in stdout.getvalue()


def test_a_long_name(tmp_path):
    assert len(log_name(tmp_path / ("x" * 200 + ".csv"))) == 60
