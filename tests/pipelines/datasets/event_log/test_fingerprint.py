"""The fingerprint distinguishes the contents of prepared logs."""

import dataclasses
import os
import random

import numpy as np
import pytest

from pipelines.datasets import interaction_dataset as shards
from pipelines.datasets import load_log, load_prepared
from pipelines.datasets.event_log import LogSpec
from pipelines.runtime.errors import InputError

ROWS = [
    ("u1", "a", "view", 1),
    ("u1", "b", "buy", 2),
    ("u1", "c", "view", 2),
    ("u2", "a", "buy", 1),
]


def spec(path):
    return LogSpec((str(path),), "user", "item", behavior="kind", time="time", target="buy")


@pytest.fixture
def load(write_log, tmp_path):
    """Returns a function that loads a log of rows from a file with the given name."""

    def from_rows(rows, name="log.csv"):
        return load_log(spec(write_log(name, rows)), tmp_path / "cache")

    return from_rows


@pytest.mark.parametrize(
    "row",
    [
        ("u1", "a", "view", 0),  # another time, in the same order
        ("u0", "a", "view", 1),
        ("u1", "z", "view", 1),
        ("u1", "b", "view", 1),
        ("u1", "a", "buy", 1),
    ],
)
def test_every_change_of_an_event_is_seen(load, row):
    assert load([row, *ROWS[1:]]).fingerprint != load(ROWS).fingerprint


def test_the_order_of_equal_times_is_seen(load):
    first, second, third, last = ROWS
    swapped = load([first, third, second, last])
    before = load(ROWS)
    np.testing.assert_array_equal(swapped.timestamps, before.timestamps)
    assert swapped.fingerprint != before.fingerprint


def test_names_of_files_and_times_of_change_are_not_content(load):
    before = load(ROWS)
    assert load(ROWS, "other.csv").fingerprint == before.fingerprint
    assert load([*ROWS, ROWS[0]]).fingerprint == before.fingerprint  # a duplicate is dropped


def test_held_out_items_target_and_repeats_are_content(log):
    others = [
        dataclasses.replace(log, held_out_items=log.held_out_items + 1),
        dataclasses.replace(log, behaviors=dataclasses.replace(log.behaviors, target="cart")),
        dataclasses.replace(log, repeats=not log.repeats),
        dataclasses.replace(log, items=np.append(log.items, "never seen")),
    ]
    assert len({each.fingerprint for each in (log, *others)}) == 5


def test_names_run_into_each_other_nowhere(log):
    one, other = (
        dataclasses.replace(log, users=np.array([*names, *log.users[2:]]))
        for names in (('a"', "b"), ("a", '"b'))
    )
    assert one.fingerprint != other.fingerprint


def test_the_cuts_of_shards_make_no_difference(load, monkeypatch, tmp_path, write_log):
    rng = random.Random(0)
    rows = [(f"u{n % 30}", f"i{rng.randrange(9)}", "buy", n) for n in range(300)]
    whole = load(rows)
    monkeypatch.setattr(shards, "_EVENTS_PER_SHARD", 20)
    cut = load_log(spec(write_log("log.csv", rows)), tmp_path / "cut")
    assert len(list((tmp_path / "cut").rglob("*.tfrecord*"))) > 5
    assert cut.fingerprint == whole.fingerprint


def test_a_prepared_copy_needs_no_log(write_log, tmp_path):
    path = write_log("log.csv", ROWS)
    before = load_log(spec(path), tmp_path / "cache")
    path.unlink()
    again = load_prepared(before.name, before.prepared, spec(path), tmp_path / "cache")
    assert again.fingerprint == before.fingerprint
    assert again.name == before.name
    assert again.report == before.report
    assert load_prepared(before.name, before.prepared, spec(path), tmp_path / "empty") is None
    assert load_prepared(before.name, "../cache", spec(path), tmp_path / "cache") is None


@pytest.mark.slow
def test_a_flipped_bit_in_the_metadata_is_noticed(write_log, tmp_path):
    path = write_log("log.csv", ROWS)
    before = load_log(spec(path), tmp_path)
    (metadata,) = tmp_path.rglob("metadata.json")
    whole = metadata.read_bytes()
    rng = random.Random(0)
    places = [whole.index(b'"a"') + 1, whole.index(b"view"), *rng.sample(range(len(whole)), 20)]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(5)
        metadata.write_bytes(changed)
        try:
            dataset = load_log(spec(path), tmp_path)
        except InputError as error:
            assert str(error).endswith("are damaged; delete that folder.")
        else:  # white space between the values
            assert not whole[place : place + 1].strip()
            assert (dataset.fingerprint, dataset.report) == (before.fingerprint, before.report)
    metadata.write_bytes(whole)
    assert load_log(spec(path), tmp_path).fingerprint == before.fingerprint


def test_a_cache_that_cannot_be_written_is_read(write_log, tmp_path, monkeypatch):
    path = write_log("log.csv", ROWS)
    before = load_log(spec(path), tmp_path)
    (checksum,) = tmp_path.rglob("content.sha256")
    checksum.unlink()

    def refuse(*arguments):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(checksum), "write_text", refuse)
    assert load_log(spec(path), tmp_path).fingerprint == before.fingerprint
    assert not list(tmp_path.rglob("content.sha256"))


def test_records_that_were_deleted_leave_no_checksum(write_log, tmp_path):
    path = write_log("log.csv", ROWS)
    load_log(spec(path), tmp_path)
    (checksum,) = tmp_path.rglob("content.sha256")
    checksum.write_text("of records prepared by other software")
    records = checksum.parent / "own_log"
    os.rename(records, tmp_path / "away")
    assert load_log(spec(path), tmp_path).num_events == len(ROWS)
