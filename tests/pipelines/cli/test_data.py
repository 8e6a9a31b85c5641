"""The commands `hmar data ...` as a user runs them."""

import json
import subprocess
import sys
from unittest import mock

import pytest

from pipelines.cli import data as data_cli
from pipelines.description.numbers import describe

from ..commands import fails

LOG = "user,item,event,when\nu1,a,view,1\nu1,b,buy,2\nu2,a,buy,1\nu2,a,buy,1\n"
COLUMNS = ["--user", "user", "--item", "item", "--behavior", "event", "--time", "when"]


@pytest.fixture(scope="module")
def log_file(home):
    (home / "events.csv").write_text(LOG)
    return ["--log", "events.csv", *COLUMNS, "--target", "buy"]


def test_list_names_every_dataset(hmar):
    stdout = hmar("data", "list").stdout
    for name in ("synthetic_shop/small", "ijcai15", "taobao/text", "yelp/csr", "movielens/10m-csr"):
        assert name in stdout


def test_describe_prints_a_table_and_draws(hmar, home):
    process = hmar("data", "describe", "synthetic_shop/tiny")
    assert process.returncode == 0
    assert process.stdout.startswith("synthetic_shop/tiny: 200 users, 100 items")
    for word in ("buy (target)", "came before", "per user", "per item", "ties", "no returns"):
        assert word in process.stdout
    assert process.stderr.splitlines()[-1] == "picture: synthetic_shop-tiny.png"
    assert (home / "synthetic_shop-tiny.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_the_description(hmar, home, log):
    with mock.patch.object(data_cli, "load_chosen", return_value=log) as load:
        process = hmar("data", "describe", "any", "--data-dir", "d", "--output", "my.png", "--json")
    load.assert_called_once_with("any", "d", None)
    assert json.loads(process.stdout) == describe(log).to_dict()
    assert "my.png" in process.stderr
    assert (home / "my.png").is_file()


@pytest.mark.parametrize("output", ["nowhere/x.png", "x.jpg", "."])
def test_a_bad_place_is_named_before_the_data_is_read(hmar, output):
    with mock.patch.object(data_cli, "load_chosen", side_effect=AssertionError):
        process = hmar("data", "describe", "synthetic_shop/tiny", "--output", output)
    fails(process, output)


def test_bad_input_leaves_no_file(hmar, home):
    before = sorted(home.iterdir())
    fails(hmar("data", "describe", "nothing"), "unknown dataset 'nothing'")
    fails(hmar("data", "describe", "movielens/1m", "--data-dir", "nowhere"), "nowhere")
    assert [path for path in sorted(home.iterdir()) if path.name != "cache"] == [
        path for path in before if path.name != "cache"
    ]


def test_help_waits_for_neither_tensorflow_nor_matplotlib(hmar):
    code = (
        "import sys, pipelines.cli.app;"
        "print([name in sys.modules for name in ('tensorflow', 'matplotlib', 'duckdb')])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == "[False, False, False]"
    assert "DATASET.png" in hmar("data", "describe", "--help").stdout


def test_prepare_says_what_was_kept(hmar, log_file):
    for _ in range(2):  # the second time, from the cache
        process = hmar("data", "prepare", *log_file)
        assert process.returncode == 0, process.stderr
        lines = [" ".join(line.split()) for line in process.stderr.splitlines()]
        for line in (
            "read 4 rows",
            "dropped: duplicate 1",
            "kept 3 events of 2 users on 2 items",
            "view 1 weak to strong, inferred from frequency",
            "buy 2 target",
            "log/events: 2 users, 2 items, view 1, buy 2",
        ):
            assert line in lines, process.stderr


def test_describe_a_log(hmar, home, log_file):
    process = hmar("data", "describe", *log_file)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("log/events: 2 users, 2 items")
    assert "dropped: duplicate" in process.stderr
    assert (home / "events.png").is_file()


def test_bad_rows_are_skipped_and_counted(hmar, home):
    (home / "bad.csv").write_text(LOG + "u3,,view,9\nu3,a,view,soon\n")
    options = ["data", "prepare", "--log", "bad.csv", *COLUMNS, "--target", "buy"]
    fails(hmar(*options), "bad.csv line 6: the item is missing", "--skip-bad-rows")
    process = hmar(*options, "--skip-bad-rows")
    assert process.returncode == 0, process.stderr
    text = " ".join(process.stderr.split())
    assert "dropped: item missing 1 first:" in text
    assert "bad.csv line 6" in text.replace(" - ", "-")
    assert "dropped: bad time 1 first:" in text


@pytest.mark.beam
def test_prepare_on_beam(hmar, home):
    pytest.importorskip("apache_beam")
    (home / "beam.csv").write_text(LOG)
    options = ["--log", "beam.csv", *COLUMNS, "--target", "buy"]
    fails(hmar("data", "prepare", *options, "--beam-runner", "NoRunner"), "'NoRunner'")
    process = hmar("data", "prepare", *options, "--beam-runner", "DirectRunner")
    assert process.returncode == 0, process.stderr
    assert "log/beam: 2 users, 2 items, view 1, buy 2" in process.stderr


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["synthetic_shop", "--beam-option=--x"], ["--beam-runner"]),
        ([], ["hmar data list", "--log"]),
        (["synthetic_shop", "--log", "events.csv", *COLUMNS, "--target", "buy"], ["mutually"]),
        (["--user", "user"], ["--user describes a log", "--log"]),
        (["synthetic_shop", "--min-item-count", "5"], ["--min-item-count describes a log"]),
        (["--log", "events.csv", "--item", "item"], ["--user", "user, item, event, when"]),
        (["--log", "events.csv", "--user", "user"], ["--item", "user, item, event, when"]),
        (["--log", "none.csv", "--user", "user"], ["there is no log none.csv"]),
        (["--log", "none.csv", *COLUMNS, "--target", "buy"], ["there is no log none.csv"]),
        (["--log", "events.csv", *COLUMNS], ["named as the target"]),
        (["--log", "events.csv", *COLUMNS, "--target", "like"], ["no event of the target 'like'"]),
        (
            ["--log", "events.csv", *COLUMNS, "--target", "buy", "--behaviors", "cart,buy"],
            ["line 2: 'view' is not one of the named behaviours"],
        ),
        (
            ["--log", "events.csv", *COLUMNS, "--target", "buy", "--data-dir", "."],
            ["leave out --data-dir"],
        ),
    ],
)
def test_options_that_do_not_fit(hmar, log_file, options, parts):
    fails(hmar("data", "prepare", *options), *parts)
