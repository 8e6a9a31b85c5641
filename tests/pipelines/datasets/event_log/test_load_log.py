"""The cache of users' logs: reused, updated after changes, never incomplete."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from pipelines.datasets import load_log
from pipelines.datasets.event_log import LogSpec, checked_rows
from pipelines.datasets.event_log.files import log_name
from pipelines.runtime.errors import InputError

ROWS = [("u1", "a", "view", 1), ("u1", "b", "buy", 2), ("u2", "a", "buy", 1)]


def spec(path, **options):
    options = {"behavior": "kind", "time": "time", "target": "buy", **options}
    return LogSpec((str(path),), "user", "item", **options)


@pytest.fixture
def readings(monkeypatch):
    """Returns a list that collects the path of every file that is read."""
    paths = []
    add = checked_rows.CheckedRows.add

    def counted(self, path):
        paths.append(path)
        return add(self, path)

    monkeypatch.setattr(checked_rows.CheckedRows, "add", counted)
    return paths


def test_a_second_run_reads_no_file(write_log, tmp_path, readings):
    path = write_log("my clicks.v2.csv", ROWS)
    first = load_log(spec(path), tmp_path)
    again = load_log(spec(path), tmp_path)
    assert len(readings) == 1
    assert first.name == again.name == "log/my_clicks"
    assert first.report == again.report
    assert first.report.events == 3
    np.testing.assert_array_equal(first.item_ids, again.item_ids)
    assert again.users.tolist() == ["u1", "u2"]


@pytest.mark.parametrize(
    "options", [{"min_user_events": 2}, {"repeats": True}, {"behaviors": ("view", "buy")}]
)
def test_other_options_are_another_log(options, write_log, tmp_path, readings):
    path = write_log("log.csv", ROWS)
    load_log(spec(path), tmp_path)
    load_log(spec(path, **options), tmp_path)
    assert len(readings) == 2


def test_a_changed_file_is_noticed(write_log, tmp_path, readings):
    path = write_log("log.csv", ROWS)
    assert load_log(spec(path), tmp_path).num_users == 2
    write_log("log.csv", [*ROWS, ("u3", "a", "buy", 9)], folder=path.parent)
    assert load_log(spec(path), tmp_path).num_users == 3
    os.utime(path, ns=(1, 1))
    load_log(spec(path), tmp_path)
    assert len(readings) == 3


def test_a_moved_file_is_the_same_log(write_log, tmp_path, readings):
    path = write_log("log.csv", ROWS)
    load_log(spec(path), tmp_path)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "log.csv")
    load_log(spec(moved), tmp_path)
    load_log(spec(path).moved_to(moved.parent), tmp_path)
    assert len(readings) == 1


def test_nothing_is_left_of_a_refused_log(write_log, tmp_path):
    path = write_log("log.csv", [*ROWS, ("u3", "", "buy", 9)])
    with pytest.raises(InputError, match="line 5: the item is missing"):
        load_log(spec(path), tmp_path)
    assert [left for left in tmp_path.rglob("*") if left.is_file()] == []
    assert load_log(spec(path, skip_bad_rows=True), tmp_path).num_events == 3


def test_a_full_disk_is_one_sentence(write_log, tmp_path, monkeypatch):
    import duckdb

    from pipelines.datasets.event_log import reading

    def fail(*arguments):
        raise duckdb.IOException("IO Error: Could not write file: No space left on device")

    monkeypatch.setattr(reading, "order_events", fail)
    with pytest.raises(InputError, match=r"cannot be prepared in .*No space left.*free disk space"):
        load_log(spec(write_log("log.csv", ROWS)), tmp_path)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.csv", "a"),
        ("my log (2).csv.gz", "my_log_2"),
        ("2024-05.jsonl", "2024-05"),
        (".csv", "events"),
    ],
)
def test_names(file, name, tmp_path):
    assert log_name(tmp_path / file) == name


KILLED = """
    import os, signal, sys
    from pipelines.datasets import load_log
    from pipelines.datasets.event_log import LogSpec, {module}

    original = {module}.{function}

    def killed(*arguments):
        original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    {module}.{function} = killed
    load_log(LogSpec((sys.argv[1],), "user", "item", behavior="kind", time="time", target="buy"),
             sys.argv[2])
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("module", "function"), [("cleaning", "number_rows"), ("cleaning", "order")]
)
def test_a_killed_preparation_is_redone_cleanly(module, function, write_log, tmp_path):
    path = write_log("log.csv", ROWS)
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(KILLED.format(module=module, function=function)),
            path,
            tmp_path,
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=300,
    )
    assert process.returncode == -9, process.stderr
    assert list(tmp_path.glob("**/scratch.*"))
    assert not list(tmp_path.glob("**/*.tfrecord*"))
    dataset = load_log(spec(path), tmp_path)
    assert dataset.users.tolist() == ["u1", "u2"]
    assert not list(tmp_path.glob("**/scratch.*"))
    assert not list(tmp_path.glob("**/incomplete.*"))
