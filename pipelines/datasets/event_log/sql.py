"""Names, values and times in DuckDB SQL, and DuckDB errors."""

from __future__ import annotations

import glob

NUMBERS, DATES = "numbers", "dates"
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_WHOLE += ("UBIGINT", "HUGEINT", "UHUGEINT")
_SECOND = 1_000_000  # in microseconds


def file_literal(path) -> str:
    """Quotes the path of one file, with glob characters escaped."""
    return literal(glob.escape(str(path)))


def identifier(name: str) -> str:
    """Quotes a name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quotes a string value."""
    return "'" + value.replace("'", "''") + "'"


def shortlex(column: str) -> str:
    """Returns the `ORDER BY` terms for shortlex order: shorter first, then by character."""
    return f"length({column}), {column}"


def shortlex_key(column: str) -> str:
    """Returns an expression that sorts as the shortlex order of a text column."""
    return f"lpad(length({column})::VARCHAR, 12, '0') || {column}"


def id_text(column: str, kind: str) -> str:
    """Returns the text of an id; whole numbers that are stored as fractions lose their `.0`."""
    if kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        whole = f"TRY_CAST({column} AS BIGINT)"
        text = f"CASE WHEN {whole} = {column} THEN {whole}::VARCHAR ELSE {column}::VARCHAR END"
        # Some programs write NaN for a missing value.
        return (
            text if kind.startswith("DECIMAL") else f"CASE WHEN isfinite({column}) THEN {text} END"
        )
    return column if kind == "VARCHAR" else f"CAST({column} AS VARCHAR)"


def time_form(kind: str) -> str | None:
    """Returns what a column of this type holds: numbers, dates, or None if it may be either."""
    if kind in _WHOLE or kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        return NUMBERS
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return DATES
    return None


def date_sql(column: str) -> str:
    """Parses a text column as a date, NULL if it is none; a year must have four digits."""
    form = r"'^\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}'"
    return f"CASE WHEN regexp_matches({column}, {form}) THEN TRY_CAST({column} AS TIMESTAMPTZ) END"


def time_sql(kind: str, form: str) -> tuple[str, str]:
    """Returns two SQL expressions over the column `moment`: whole units, rounded down, and rest.

    Numbers keep their unit; dates become seconds since 1970, UTC. Both are NULL if the value is
    not finite or does not fit into 64 bits.
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
    """Returns the first line of a DuckDB error, without its class and the full stop."""
    line = str(error).splitlines()[0].rstrip(". ")
    return line.split("Error: ", 1)[-1]
