"""SQL for the rows of a log file, under the same five names for every file format.

A row has `user`, `item`, `kind` (its behaviour or rating) and `moment` (its time), each NULL if
there is no such column, and `row`, which counts from 1. Nothing else in the file is visible, so its
other columns may have any name.
"""

from __future__ import annotations

import dataclasses

from pipelines.datasets.event_log import files as log_files
from pipelines.datasets.event_log.files import CSV, JSON_LINES, LogFile
from pipelines.datasets.event_log.sql import file_literal, identifier, literal

_ROLES = ("user", "item", "kind", "moment")
_TEXT = "VARCHAR"


@dataclasses.dataclass(frozen=True)
class Scan:
    """The rows of a file, as SQL.

    Args:
        query: SQL for the rows described above; its column `joined` says whether a quotation mark
            in an unused column joined lines.
        types: DuckDB type of the values of each role that has a column.
        lines: SQL that counts the lines, if a line can have several rows.
    """

    query: str
    types: dict[str, str]
    lines: str | None = None


def scan(file: LogFile, spec, database, in_parts: bool = True) -> Scan:
    """Returns the SQL that reads a file.

    Args:
        file: the file.
        spec: the log.
        database: the database that reads it.
        in_parts: whether DuckDB may read a CSV file in parallel parts, which is not safe if a
            field has line breaks.

    Raises:
        InputError: if the file lacks a column.
    """
    columns = {
        "user": spec.user,
        "item": spec.item,
        "kind": spec.rating or spec.behavior,
        "moment": spec.time,
    }
    columns = {role: column for role, column in columns.items() if column}
    if file.kind == CSV:
        return _csv(file, columns, in_parts)
    if file.kind == JSON_LINES:
        return _json(file, columns, spec)
    return _parquet(file, columns, database)


def _select(expressions, row, source, joined="false"):
    picked = ", ".join(f"{expressions.get(role, 'NULL')} AS {identifier(role)}" for role in _ROLES)
    return f"SELECT {picked}, {row} AS row, {joined} AS joined FROM {source}"


def _csv(file, columns, in_parts):
    """Reads columns by position: their names may be missing, or differ only in case."""
    places = {role: f"c{file.names.index(column)}" for role, column in columns.items()}
    fields = ", ".join(f"c{place}: '{_TEXT}'" for place in range(len(file.names)))
    mark = "'\"'" if len(file.delimiter) == 1 else "''"
    source = (
        f"read_csv({file_literal(file.path)}, columns = {{{fields}}}, auto_detect = false, "
        f"header = {file.has_header}, skip = {file.blank_lines}, compression = "
        f"{literal(file.compression)}, delim = {literal(file.delimiter)}, quote = {mark}, "
        f"escape = {mark}, hive_partitioning = false, ignore_errors = true, "
        f"parallel = {in_parts})"
    )
    joined = "false"
    if file.delimiter == "\t":  # quotation marks in such files rarely quote
        unused = [f"c{n}" for n in range(len(file.names)) if f"c{n}" not in places.values()]
        joined = " OR ".join(f"coalesce(contains({each}, chr(10)), false)" for each in unused)
    query = _select(places, "row_number() OVER ()", source, joined or "false")
    return Scan(query, dict.fromkeys(places, _TEXT))


def _json(file, columns, spec):
    outer = [spec.user, spec.events] if spec.events else list(columns.values())
    kinds = dict.fromkeys(outer, f"'{_TEXT}'")
    inner = {role: column for role, column in columns.items() if spec.events and role != "user"}
    if spec.events:
        struct = ", ".join(f"{identifier(column)} {_TEXT}" for column in inner.values())
        kinds[spec.events] = literal(f"STRUCT({struct})[]")
    fields = ", ".join(f"{literal(column)}: {kind}" for column, kind in kinds.items())
    source = (
        f"read_json({file_literal(file.path)}, format = 'newline_delimited', "
        f"columns = {{{fields}}}, compression = {literal(file.compression)}, "
        f"hive_partitioning = false, ignore_errors = {spec.skip_bad_rows})"
    )
    expressions = {role: identifier(column) for role, column in columns.items()}
    lines = None
    if spec.events:
        lines = f"SELECT count(*) FROM {source}"
        # A line without a list still gives one row, so that it can be counted.
        source = (
            f"(SELECT {identifier(spec.user)} AS owner, "
            f"unnest(coalesce({identifier(spec.events)}, [NULL])) AS happening FROM {source})"
        )
        expressions = {
            role: f"struct_extract(happening, {literal(column)})" for role, column in inner.items()
        }
        expressions["user"] = "owner"
    query = _select(expressions, "row_number() OVER ()", source)
    return Scan(query, dict.fromkeys(columns, _TEXT), lines)


def _parquet(file, columns, database):
    """Reads columns by position, because DuckDB renames those that differ only in case."""
    log_files.check_columns(file.path, file.names, columns.values())
    has_numbers = "file_row_number" not in (name.lower() for name in file.names)
    source = (
        f"read_parquet({file_literal(file.path)}, binary_as_string = true, "
        f"hive_partitioning = false, file_row_number = {has_numbers})"
    )
    described = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    found = {role: described[file.names.index(column)] for role, column in columns.items()}
    expressions = {role: identifier(name) for role, (name, *_) in found.items()}
    row = "file_row_number + 1" if has_numbers else "row_number() OVER ()"
    query = _select(expressions, row, source)
    return Scan(query, {role: kind for role, (_, kind, *_) in found.items()})
