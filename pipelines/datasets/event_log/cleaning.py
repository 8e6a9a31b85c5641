"""Turns checked rows into ordered events: drops duplicates, rare items and short users."""

from __future__ import annotations

from hmar_keras.schema import Behaviors
from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.event_log.report import Dropped, PreparationReport
from pipelines.datasets.event_log.spec import MOST_BEHAVIORS
from pipelines.datasets.event_log.sql import literal, shortlex
from pipelines.runtime.errors import InputError

DUPLICATE = "duplicate"  # the reason in the report
_REPEATS_FROM = 0.01  # required share of target events on items that the user knows


def order_events(name, spec, workspace, num_files, bad_rows) -> OrderedLog:
    """Cleans and orders the table `raw` of a workspace's database; see `read_event_log`.

    Args:
        name: name of the dataset.
        spec: what to keep.
        workspace: the workspace of the database.
        num_files: number of files, for the report.
        bad_rows: the skipped rows: those that `raw` marks, and those that never reached it.

    Raises:
        InputError: if nothing is left.
    """
    database = workspace.database()
    sound = _one(database, "SELECT count(*) FROM raw WHERE problem IS NULL")
    read = sound + sum(each.events for each in bad_rows)
    behaviors, inferred = choose_behaviors(name, spec, sound_by_behavior(spec, database))
    workspace.progress("numbering users and items")
    number_rows(database, behaviors)
    dropped = list(bad_rows)
    if drops_duplicates(spec):
        workspace.progress("looking for duplicates")
        dropped.append(Dropped(DUPLICATE, drop_duplicates(database)))
    if drops_rare(spec):
        workspace.progress("counting items and users")
        dropped += _drop_rare(database, spec)
    check_not_empty(name, _one(database, "SELECT count(*) FROM events"), read)
    workspace.progress("ordering events")
    order(database)
    items = database.execute("SELECT name FROM ordered_items ORDER BY id").fetchnumpy()["name"]
    lengths = database.execute(
        'SELECT count(*) AS events FROM ordered_events GROUP BY "user" ORDER BY "user"'
    ).fetchnumpy()["events"]
    repeats = spec.repeats
    if repeats is None:
        repeats = may_repeat(*count_repeats(database, behaviors))
    report = PreparationReport(
        files=num_files,
        read=read,
        dropped=tuple(dropped),
        events=int(lengths.sum()),
        users=len(lengths),
        items=len(items),
        behaviors=count_behaviors(database, behaviors),
        target=behaviors.target,
        inferred_order=inferred,
        repeats=repeats,
    )
    return OrderedLog(name, behaviors, report, items.astype(str), lengths, database)


def _one(database, query):
    return database.execute(query).fetchone()[0]


def sound_by_behavior(spec, database) -> dict[str, int]:
    """Counts the valid rows of `raw` by behaviour; empty if `spec` names the behaviours."""
    if spec.known_behaviors:
        return {}
    return dict(
        database.execute(
            "SELECT behavior, count(*) FROM raw WHERE problem IS NULL GROUP BY behavior"
        ).fetchall()
    )


def choose_behaviors(name, spec, counts: dict[str, int]) -> tuple[Behaviors, bool]:
    """Returns the behaviours, and whether their order is inferred from their frequencies.

    Raises:
        InputError: if the log has too many behaviours, or no event of the target.
    """
    if spec.known_behaviors:
        target = spec.target or spec.known_behaviors[-1]
        return Behaviors(spec.known_behaviors, target), False
    names = tuple(sorted(counts, key=lambda each: (each == spec.target, -counts[each], each)))
    if len(names) > MOST_BEHAVIORS:
        raise InputError(
            f"{name} has {len(names):,} different values in the column {spec.behavior!r}; if these "
            f"are behaviours, name them with --behaviors."
        )
    if names and spec.target not in names:
        raise InputError(
            f"{name} has no event of the target {spec.target!r}; its behaviours are "
            f"{', '.join(names)}."
        )
    return Behaviors(names or (spec.target,), spec.target), True


def check_not_empty(name, events: int, read: int) -> None:
    """Checks that at least one event of a log is left.

    Raises:
        InputError: if none is left.
    """
    if not events:
        raise InputError(f"{name} has no event left of {read:,}; check the log or filter less.")


def number_rows(database, behaviors) -> None:
    """Replaces the table `raw` with `events`: ids as numbers, in shortlex order of their text."""
    for plural, column in (("users", '"user"'), ("items", "item")):
        database.execute(
            f"CREATE TABLE {plural} AS SELECT name, "
            f"(row_number() OVER (ORDER BY {shortlex('name')}))::INTEGER AS id FROM "
            f"(SELECT DISTINCT {column} AS name FROM raw WHERE problem IS NULL)"
        )
    ids = " ".join(
        f"WHEN {literal(each)} THEN {row}" for row, each in enumerate(behaviors.names, start=1)
    )
    database.execute(
        'CREATE TABLE events AS SELECT users.id AS "user", items.id AS item, '
        f"(CASE behavior {ids} END)::UTINYINT AS behavior, time, fraction, place "
        'FROM raw JOIN users ON users.name = raw."user" JOIN items ON items.name = raw.item '
        "WHERE problem IS NULL"
    )
    database.execute("DROP TABLE raw")


def drops_duplicates(spec) -> bool:
    """Returns whether rows that repeat user, item, behaviour and time are dropped."""
    return bool(spec.time) and not spec.keep_duplicates


def drops_rare(spec) -> bool:
    """Returns whether items or users with few events are dropped."""
    return spec.min_item_count > 1 or spec.min_user_events > 1


def drop_duplicates(database) -> int:
    """Drops all but the first of identical `events`; returns the number dropped."""
    before = _one(database, "SELECT count(*) FROM events")
    database.execute(
        'CREATE TABLE distinct_events AS SELECT "user", item, behavior, time, fraction, '
        "min(place) AS place FROM events GROUP BY ALL"
    )
    database.execute("DROP TABLE events")
    database.execute("ALTER TABLE distinct_events RENAME TO events")
    return before - _one(database, "SELECT count(*) FROM events")


def _drop_rare(database, spec) -> list[Dropped]:
    """Drops rare items and short users in turn until all that are left have enough events."""
    items, users = 0, 0
    while True:
        gone_items = drop_below(database, "item", spec.min_item_count)
        gone_users = drop_below(database, '"user"', spec.min_user_events)
        items, users = items + gone_items, users + gone_users
        if not gone_items and not gone_users:
            return rare_events(spec, items, users)


def drop_below(database, column: str, least: int) -> int:
    """Drops the `events` whose item or user has fewer than `least`; returns the number dropped."""
    return database.execute(
        f"DELETE FROM events WHERE {column} IN "
        f"(SELECT {column} FROM events GROUP BY {column} HAVING count(*) < {least})"
    ).fetchone()[0]


def rare_events(spec, items: int, users: int) -> list[Dropped]:
    """Returns report entries for the events dropped because of their item and their user."""
    rules = (("item", spec.min_item_count, items), ("user", spec.min_user_events, users))
    return [
        Dropped(f"{what} with fewer than {least} events", events)
        for what, least, events in rules
        if least > 1
    ]


def order(database) -> None:
    """Creates `ordered_events`, `ordered_users` and `ordered_items`, numbered without gaps."""
    for plural, column, first in (("users", '"user"', 0), ("items", "item", 1)):
        database.execute(
            f"CREATE TABLE ordered_{plural} AS SELECT id AS old, name, "
            f"(row_number() OVER (ORDER BY id) - 1 + {first})::INTEGER AS id FROM {plural} "
            f"WHERE id IN (SELECT {column} FROM events)"
        )
    database.execute(
        'CREATE TABLE ordered_events AS SELECT u.id AS "user", i.id AS item, behavior, time '
        'FROM events JOIN ordered_users AS u ON u.old = events."user" '
        "JOIN ordered_items AS i ON i.old = events.item "
        'ORDER BY events."user", time, fraction, place'
    )
    database.execute("DROP TABLE events")


def count_behaviors(database, behaviors) -> dict[str, int]:
    """Counts the `ordered_events` by behaviour."""
    found = dict(
        database.execute("SELECT behavior, count(*) FROM ordered_events GROUP BY ALL").fetchall()
    )
    return {name: found.get(row, 0) for row, name in enumerate(behaviors.names, start=1)}


def count_repeats(database, behaviors) -> tuple[int, int]:
    """Counts the target events on items that the user already knew, and all target events."""
    target = behaviors.target_id
    repeated, targets = database.execute(
        "SELECT sum(targets - first_is_target)::BIGINT, sum(targets)::BIGINT FROM ("
        f"SELECT count(*) FILTER (behavior = {target}) AS targets, "
        f"(arg_min(behavior, rowid) = {target})::INTEGER AS first_is_target "
        'FROM ordered_events GROUP BY "user", item)',
    ).fetchone()
    return repeated or 0, targets or 0


def may_repeat(repeated: int, targets: int) -> bool:
    """Returns whether items known to a user may be answers, inferred from the log."""
    return targets > 0 and repeated / targets >= _REPEATS_FROM
