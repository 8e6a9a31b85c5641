"""The tasks of Beam workers: each function takes a part of a log and writes files.

The rows are processed by `checked_rows` and `cleaning`, as without Beam: each worker has its own
database in its temporary directory.
"""

from __future__ import annotations

import dataclasses
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from hmar_keras.schema import Behaviors
from pipelines.datasets.event_log import cleaning
from pipelines.datasets.event_log.beam_files import (
    FileSummary,
    PieceSummary,
    blocks,
    items_in,
    numbered,
    stored,
    unpacked,
    write_rows,
    write_summary,
)
from pipelines.datasets.event_log.checked_rows import FILE_BITS, CheckedRows, create_raw
from pipelines.datasets.event_log.sql import shortlex, shortlex_key
from pipelines.datasets.event_log.workspace import Workspace
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError

_SPREAD = 0x9E3779B1  # multiples of it have evenly spread remainders
_USER = '"user"'


def read_file(number, *, spec, paths, folder, step):
    """Reads and checks one file of a log.

    Args:
        number: number of the file.
        spec: the log.
        paths: all files of the log.
        folder: where to write the valid rows and the summary.
        step: every `step`-th row becomes part of the sample.
    """
    form = None
    with _own_workspace() as workspace:
        try:
            if spec.time:
                form = _form(spec, paths[: number + 1])
            rows = CheckedRows(spec, workspace, form)
            rows.add(paths[number])
            database = workspace.database()
            summary = FileSummary(
                form=rows.form,
                sound=_one(database, "SELECT count(*) FROM raw WHERE problem IS NULL"),
                groups=_store_rows(database, numbered(folder, number), number),
                behaviors=cleaning.sound_by_behavior(spec, database),
                malformed=rows.malformed(),
                problems=rows.problems(),
                sample=_sample(database, step, number * _SPREAD % step),
            )
        except InputError as error:
            summary = FileSummary(error=str(error), form=form)
    write_summary(summary, numbered(folder, number, "json"))


def cut_rows(part, *, folder, bounds):
    """Yields blocks of the rows in a part of a file, keyed by the piece of their users.

    Args:
        part: number of the file, and of the part of its stored rows.
        folder: where `read_file` wrote them.
        bounds: the first user of each piece.
    """
    number, group = part
    rows = pa.parquet.ParquetFile(numbered(folder, number)).read_row_group(group)
    with _own_workspace() as workspace:
        database = workspace.database()
        database.register("rows", rows)
        database.register("first_users", pa.table({"name": pa.array(bounds, pa.string())}))
        database.execute(
            f"CREATE TABLE bounds AS SELECT {shortlex_key('name')} AS key, "
            f"row_number() OVER (ORDER BY {shortlex('name')}) - 1 AS part FROM first_users"
        )
        yield from blocks(
            database,
            f"SELECT part, rows.* FROM rows ASOF JOIN bounds ON {shortlex_key(_USER)} >= key",
        )


def clean_users(piece, *, spec, behaviors, folder, item_parts):
    """Drops the duplicates of a piece's users and orders their events.

    Args:
        piece: number of the piece, and blocks of its rows.
        spec: the log.
        behaviors: weak to strong.
        folder: where to write the users and the summary.
        item_parts: number of groups into which the items are split.

    Yields:
        blocks of item counts, keyed by the number of the item group.
    """
    number, packed = piece
    with _own_workspace() as workspace:
        database = workspace.database()
        create_raw(database)
        for block in packed:
            database.register("block", unpacked(block))
            database.execute("INSERT INTO raw BY NAME SELECT * FROM block")
        cleaning.number_rows(database, behaviors)
        dropped = {}
        if cleaning.drops_duplicates(spec):
            dropped[cleaning.DUPLICATE] = cleaning.drop_duplicates(database)
        cleaning.order(database)
        database.execute("ALTER TABLE ordered_events RENAME TO numbered")
        database.execute(
            'CREATE TABLE ordered_events AS SELECT u.name AS "user", i.name AS item, behavior, '
            'time FROM numbered AS n JOIN ordered_users AS u ON u.id = n."user" '
            "JOIN ordered_items AS i ON i.id = n.item ORDER BY n.rowid"
        )
        yield from _store_users(database, number, behaviors, folder, item_parts, dropped)


def drop_rare(number, *, spec, behaviors, before, items, folder, item_parts):
    """Drops a piece's events on dropped items, and then its users with too few events.

    Args:
        number: number of the piece.
        spec: the log.
        behaviors: weak to strong.
        before: folder of the users of the piece.
        items: folder of the items that are kept.
        folder: where to write the users that are left, and the summary.
        item_parts: number of groups into which the items are split.

    Yields:
        blocks of item counts, keyed by the number of the item group.
    """
    with _own_workspace() as workspace:
        database = workspace.database()
        database.execute(f"CREATE TABLE events AS SELECT * FROM {stored(numbered(before, number))}")
        (gone,) = database.execute(
            f"DELETE FROM events WHERE item NOT IN (SELECT item FROM {items_in(items)})"
        ).fetchone()
        dropped = {
            "item": gone,
            "user": cleaning.drop_below(database, '"user"', spec.min_user_events),
        }
        database.execute(
            'CREATE TABLE ordered_events AS SELECT "user", item, behavior, time FROM events '
            "ORDER BY file_row_number"
        )
        yield from _store_users(database, number, behaviors, folder, item_parts, dropped)


def keep_items(group, *, folder, least):
    """Writes the items of a group that have enough events.

    Args:
        group: number of the group, and blocks of its item counts.
        folder: where to write the items.
        least: the smallest sufficient number of events.
    """
    number, packed = group
    with _own_workspace() as workspace:
        database = workspace.database()
        database.execute("CREATE TABLE counts (item VARCHAR, events BIGINT)")
        for block in packed:
            database.register("block", unpacked(block))
            database.execute("INSERT INTO counts BY NAME SELECT * FROM block")
        kept = f"SELECT item FROM counts GROUP BY item HAVING sum(events) >= {least}"
        write_rows(database, kept, numbered(folder, number))


@dataclasses.dataclass(frozen=True)
class BeamShard:
    """A function that reads the users of consecutive pieces, on any worker.

    Args:
        name: name of the dataset.
        behaviors: weak to strong, with the target.
        repeats: whether items that a user already knows may be answers.
        pieces: the files of the users.
        vocabulary: file of the items and their ids.
    """

    name: str
    behaviors: Behaviors
    repeats: bool
    pieces: tuple[str, ...]
    vocabulary: str

    def __call__(self) -> InteractionDataset:
        """Returns the users with their events."""
        events, items = stored(*self.pieces), stored(self.vocabulary)
        with _own_workspace() as workspace:
            database = workspace.database()
            database.execute(
                f'CREATE TABLE ordered_events AS SELECT "user", id, behavior, time FROM {events} '
                f"AS events JOIN {items} AS items ON items.item = events.item "
                "ORDER BY events.filename, events.file_row_number"
            )
            users = database.execute(
                'SELECT "user" AS name, count(*) AS events FROM ordered_events GROUP BY "user" '
                "ORDER BY min(rowid)"
            ).fetchnumpy()
            events = database.execute(
                "SELECT id, behavior, time FROM ordered_events ORDER BY rowid"
            ).fetchnumpy()
            names = database.execute(f"SELECT item FROM {items} ORDER BY id").fetchnumpy()["item"]
        return InteractionDataset(
            name=self.name,
            behaviors=self.behaviors,
            repeats=self.repeats,
            users=users["name"].astype(str),
            items=names.astype(str),
            offsets=np.concatenate([[0], np.cumsum(users["events"])]).astype(np.int64),
            item_ids=events["id"].astype(np.int32),
            behavior_ids=events["behavior"].astype(np.int32),
            timestamps=events["time"].astype(np.int64),
            held_out_items=np.zeros(len(users["name"]), np.int32),
        )


def _own_workspace():
    return Workspace(tempfile.gettempdir(), quiet=True)


def _form(spec, paths):
    """Returns the form of the times in the last file, from earlier files if it shows none."""
    for path in reversed(paths):
        with _own_workspace() as workspace:
            form = CheckedRows(spec, workspace).form_of(path)
        if form:
            return form
    return None


def _one(database, query):
    return database.execute(query).fetchone()[0]


def _store_rows(database, path, number):
    """Writes the valid rows with their place in the whole log; returns the number of parts."""
    rows = (
        'SELECT "user", item, behavior, time, fraction, '
        f"place + {number << FILE_BITS} AS place FROM raw WHERE problem IS NULL"
    )
    write_rows(database, rows, path)
    return pa.parquet.read_metadata(path).num_row_groups


def _sample(database, step, start):
    rows = database.execute(
        f'SELECT "user" FROM (SELECT "user", row_number() OVER (ORDER BY {shortlex(_USER)}) AS '
        f"place FROM raw WHERE problem IS NULL) WHERE (place + {start}) % {step} = 0 ORDER BY place"
    ).fetchall()
    return [user for (user,) in rows]


def _store_users(database, number, behaviors, folder, item_parts, dropped):
    """Writes the table `ordered_events` and its summary; yields blocks of its item counts."""
    write_rows(database, "SELECT * FROM ordered_events ORDER BY rowid", numbered(folder, number))
    counts = 'SELECT count(*), count(DISTINCT "user") FROM ordered_events'
    events, users = database.execute(counts).fetchone()
    repeated, targets = cleaning.count_repeats(database, behaviors)
    summary = PieceSummary(
        number=number,
        events=events,
        users=users,
        behaviors=cleaning.count_behaviors(database, behaviors),
        repeated=repeated,
        targets=targets,
        dropped=dropped,
    )
    write_summary(summary, numbered(folder, number, "json"))
    yield from blocks(
        database,
        f"SELECT hash(item) % {item_parts} AS part, item, count(*) AS events "
        "FROM ordered_events GROUP BY item",
    )
