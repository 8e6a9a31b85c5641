"""The files that Beam workers write, and the blocks of rows that they exchange.

All workers share a directory. A file in it is named after the number of its content, appears
atomically, and is the same if a runner repeats the work. Between workers, rows travel as blocks,
which are tables in Arrow format, keyed by the number of the group they belong to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import itertools
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.datasets.event_log.report import Dropped
from pipelines.datasets.event_log.sql import file_literal, literal

_ROWS_AT_ONCE = 1 << 18  # in a row group, the part of a file that is read independently


@dataclasses.dataclass(frozen=True)
class FileSummary:
    """The result of reading one file of the log.

    Args:
        error: why the file cannot be used; None if it can.
        form: form of its times, if known.
        sound: number of valid rows.
        groups: number of parts in which they are stored.
        behaviors: valid rows by behaviour, if the behaviours are taken from the log.
        malformed: rows that were skipped before the checks.
        problems: rows that were skipped by the checks.
        sample: the user of every n-th valid row, in shortlex order.
    """

    error: str | None = None
    form: str | None = None
    sound: int = 0
    groups: int = 0
    behaviors: dict[str, int] = dataclasses.field(default_factory=dict)
    malformed: tuple[Dropped, ...] = ()
    problems: tuple[Dropped, ...] = ()
    sample: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class PieceSummary:
    """The result of cleaning the users of one piece.

    Args:
        number: number of the piece.
        events: number of events left.
        users: number of users left.
        behaviors: events by behaviour.
        repeated: target events on items that the user already knew.
        targets: all target events.
        dropped: events that the last step dropped, by reason.
    """

    number: int
    events: int
    users: int
    behaviors: dict[str, int]
    repeated: int
    targets: int
    dropped: dict[str, int]


def numbered(folder: Path, number: int, ending: str = "parquet") -> Path:
    """Returns the path of the file with a number."""
    return folder / f"{number:08d}.{ending}"


def file_summary(folder: Path, number: int) -> FileSummary:
    """Reads the summary that `read_file` wrote for a file."""
    values = json.loads(numbered(folder, number, "json").read_text())
    for name in ("malformed", "problems"):
        values[name] = tuple(Dropped(**each) for each in values[name])
    return FileSummary(**values)


def piece_summaries(folder: Path) -> list[PieceSummary]:
    """Reads the summaries of the pieces in a folder, in order."""
    texts = (path.read_text() for path in sorted(folder.glob("*.json")))
    return [PieceSummary(**json.loads(text)) for text in texts]


def stored(*files: Path | str) -> str:
    """Returns SQL for the rows of Parquet files, with `filename` and `file_row_number`."""
    return _scan(file_literal(file) for file in files)


def items_in(folder: Path) -> str:
    """Returns SQL for the items that `keep_items` wrote to a folder."""
    return _scan([literal(f"{glob.escape(str(folder))}/*.parquet")])


def blocks(database, query: str) -> Iterator[tuple[int, bytes]]:
    """Yields the rows of a query with a column `part`: for each part, its number and a block."""
    table = database.sql(f"SELECT * FROM ({query}) ORDER BY part").to_arrow_table()
    parts = table.column("part").to_numpy()
    rows = table.drop_columns("part")
    starts = np.flatnonzero(np.diff(parts)) + 1
    cuts = [0, *starts.tolist(), len(parts)]
    for start, end in itertools.pairwise(cuts):
        if end > start:
            yield int(parts[start]), _packed(rows.slice(start, end - start))


def unpacked(block: bytes) -> pa.Table:
    """Returns the rows of a block."""
    return pa.ipc.open_stream(block).read_all()


def write_rows(database, query: str, path: Path) -> None:
    """Writes the rows of a query as Parquet."""
    with _appearing(path) as temporary:
        database.execute(
            f"COPY ({query}) TO {literal(str(temporary))} "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROWS_AT_ONCE})"
        )


def write_summary(summary: FileSummary | PieceSummary, path: Path) -> None:
    """Writes a summary as JSON."""
    with _appearing(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(summary)))


def _scan(files):
    return (
        f"read_parquet([{', '.join(files)}], file_row_number = true, filename = true, "
        f"hive_partitioning = false)"
    )


def _packed(table):
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


@contextlib.contextmanager
def _appearing(path):
    """Yields a temporary path, and renames the file when it is complete."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    yield temporary
    os.replace(temporary, path)
