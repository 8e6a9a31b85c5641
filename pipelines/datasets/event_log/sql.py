"""Names, values and times in DuckDB's SQL, and its errors."""

from __future__ import annotations

import glob

NUMBERS, DATES = "numbers", "dates"
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_WHOLE += ("UBIGINT", "HUGEINT", "UHUGEINT")
_SECOND = 1_000_000  # in microseconds


def file_literal(path) -> str:
    """The path of one file, quoted, in which no character is a pattern."""
    return literal(glob.escape(str(path)))


def identifier(name: str) -> str:
    """A name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text, quoted."""
    return "'" + value.replace("'", "''") + "'"


def shortlex(column: str) -> str:
    """What to order texts by: the shorter first, then by character."""
    return f"length({column}), {column}"


def shortlex_key(column: str) -> str:
    """A text whose order is the shortlex order of the texts of a column."""
    return f"lpad(length({column})::VARCHAR, 12, '0') || {column}"


def id_text(column: str, kind: str) -> str:
    """The text of an id; whole numbers that are stored as fractional ones lose their `.0`."""
    if kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        whole = f"TRY_CAST({column} AS BIGINT)"
        text = f"CASE WHEN {whole} = {column} THEN {whole}::VARCHAR ELSE {column}::VARCHAR END"
        # Not a number is how some programs write that there is none.
        return (
            text if kind.startswith("DECIMAL") else f"CASE WHEN isfinite({column}) THEN {text} END"
        )
    return column if kind == "VARCHAR" else f"CAST({column} AS VARCHAR)"


def time_form(kind: str) -> str | None:
    """What a column of this type holds: numbers, dates, or, if it is text, None for either."""
    if kind in _WHOLE or kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        return NUMBERS
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return DATES
    return None


def date_sql(column: str) -> str:
    """The date that a text holds, NULL if it holds none; a year has four digits."""
    form = r"'^\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}'"
    return f"CASE WHEN regexp_matches({column}, {form}) THEN TRY_CAST({column} AS TIMESTAMPTZ) END"


def time_sql(kind: str, form: str) -> tuple[str, str]:
    """Two SQL expressions over the column `moment`: whole units, rounded down, and the rest.

    Numbers keep their unit; dates become seconds since 1970, UTC. Both are NULL where the value is
    not finite or beyond 64 bits.
    """
    if kind in _WHOLE:
        return "TRY_CAST(moment AS BIGINT)", "0.0"
    if form == NUMBERS:
        exact = "TRY_CAST(moment AS DECIMAL(38, 9))"  # all of int64, and nanoseconds of seconds
        return f"TRY_CAST(floor({exact}) AS BIGINT)", f"({exact} - floor({exact}))::DOUBLE"
    if kind == "TIMESTAMP_NS":
        ticks, second = "epoch_ns(moment)", 1000 * _SECOND
    else:
        stamp = date_sql("moment") if kind == "VARCHAR" else "moment::TIMESTAMPTZ"
        ticks, second = f"CASE WHEN isfinite({stamp}) THEN epoch_us({stamp}) END", _SECOND
    rest = f"((({ticks}) % {second} + {second}) % {second})"
    return f"(({ticks}) - {rest}) // {second}", f"{rest} / {second}.0"


def first_line(error) -> str:
    """The first line of one of DuckDB's errors, without its class and the full stop."""
    line = str(error).splitlines()[0].rstrip(". ")
    return line.split("Error: ", 1)[-1]
