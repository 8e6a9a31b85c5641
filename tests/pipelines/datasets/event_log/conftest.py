"""Fixtures for the tests of users' logs: files of rows, and a reader that returns everything."""

import csv
import dataclasses
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.reading import read_event_log
from pipelines.datasets.event_log.workspace import Workspace
from pipelines.datasets.interaction_dataset import InteractionDataset

COLUMNS = ("user", "item", "kind", "time")


def _write_csv(path, rows, columns):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _write_parquet(path, rows, columns):
    pa.parquet.write_table(
        pa.table({name: [row[place] for row in rows] for place, name in enumerate(columns)}), path
    )


def _write_json_lines(path, rows, columns):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(zip(columns, row, strict=True))) + "\n")


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet, ".jsonl": _write_json_lines}


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared log: the shards put together, and the report."""

    users: list
    items: list
    histories: list
    behaviors: tuple
    repeats: bool
    report: object
    shards: int


def histories_of(dataset: InteractionDataset):
    """Returns each user's list of (item id, behaviour id, time), from the arrays."""
    columns = (dataset.item_ids, dataset.behavior_ids, dataset.timestamps)
    spans = zip(dataset.offsets[:-1], dataset.offsets[1:], strict=True)
    return [
        list(zip(*(column[start:end].tolist() for column in columns), strict=True))
        for start, end in spans
    ]


@pytest.fixture(scope="session")
def write_log(tmp_path_factory):
    """Returns a function that writes rows in the format of the suffix and returns the path."""

    def write(name, rows, columns=COLUMNS, folder=None):
        path = (folder or tmp_path_factory.mktemp("log")) / name
        suffix = next(suffix for suffix in path.suffixes if suffix in _WRITERS)
        _WRITERS[suffix](path, rows, columns)
        return path

    return write


@pytest.fixture(scope="session")
def prepare(tmp_path_factory):
    """Returns a function that reads a log from files with the columns of COLUMNS."""
    parent = tmp_path_factory.mktemp("work")

    def read(*files, **options):
        options = {"behavior": "kind", "time": "time", "target": "buy", **options}
        spec = LogSpec(tuple(map(str, files)), options.pop("user", "user"), "item", **options)
        try:
            with Workspace(parent) as workspace:
                log = read_event_log("log", spec, workspace)
                shards = [read_shard() for read_shard in log.shards()]
        finally:
            assert not list(parent.iterdir())  # nothing is left behind, whatever happens
        assert all(np.array_equal(shard.items, log.items) for shard in shards)
        assert sum(shard.num_users for shard in shards) == log.num_users
        return Prepared(
            users=[user for shard in shards for user in shard.users.tolist()],
            items=log.items.tolist(),
            histories=[history for shard in shards for history in histories_of(shard)],
            behaviors=log.behaviors.names,
            repeats=log.repeats,
            report=log.report,
            shards=len(shards),
        )

    return read
