"""Rows that cannot be understood: the SQL that recognises them, and their messages."""

from __future__ import annotations

from pipelines.datasets.event_log.sql import literal

MALFORMED = "malformed row"
JOINED = "lines joined by quotation marks"
_LONGEST_SHOWN = 40  # characters of a cell
_LONGEST_ID = 1000  # one long id would make every id take that much space
# The error message for each reason under which rows are counted; {cell} is the cell.
MESSAGES = {
    "user missing": "the user is missing",
    "item missing": "the item is missing",
    "behaviour missing": "the behaviour is missing",
    "rating missing": "the rating is missing",
    "time missing": "the time is missing",
    "very long id": f"an id has more than {_LONGEST_ID} characters: {{cell}}",
    "line break in an id": "the id {cell!r} has a line break in it",
    "unknown behaviour": "{cell!r} is not one of the named behaviours",
    "bad rating": "the rating {cell!r} is not a number",
    "bad time": "the time {cell!r} is {form}",
    MALFORMED: "this is not an object with the fields of an event",
    JOINED: "a quotation mark joins this line with the following lines",
}
_BREAK = r"'[\n\r\x00]'"  # an exported vocabulary has one item per line


def problem_sql(spec) -> tuple[str, str]:
    """Returns two SQL expressions over a row: why it is invalid, and the cell at fault.

    The row has `user`, `item`, `kind` (behaviour or rating), `moment` (the time as in the file),
    `moment_missing`, `rating` and `time`. Both expressions are NULL for a valid row.
    """
    cases = [
        ("coalesce(\"user\", '') = ''", "user missing", "NULL"),
        ("coalesce(item, '') = ''", "item missing", "NULL"),
        (f'regexp_matches("user", {_BREAK})', "line break in an id", '"user"'),
        (f"regexp_matches(item, {_BREAK})", "line break in an id", "item"),
        (f'length("user") > {_LONGEST_ID}', "very long id", '"user"'),
        (f"length(item) > {_LONGEST_ID}", "very long id", "item"),
    ]
    if spec.rating:
        cases += [
            ("coalesce(kind, '') = ''", "rating missing", "NULL"),
            ("coalesce(isnan(rating), true)", "bad rating", "kind"),
        ]
    elif spec.behavior:
        cases.append(("coalesce(kind, '') = ''", "behaviour missing", "NULL"))
        known = [value for value, _ in spec.labels] or spec.behaviors
        if known:
            names = ", ".join(map(literal, known))
            cases.append((f"kind NOT IN ({names})", "unknown behaviour", "kind"))
    if spec.time:
        cases += [
            ("moment_missing", "time missing", "NULL"),
            ("time IS NULL", "bad time", "CAST(moment AS VARCHAR)"),
        ]
    reasons = " ".join(f"WHEN {test} THEN {literal(reason)}" for test, reason, _ in cases)
    cells = " ".join(f"WHEN {test} THEN {_shown(cell)}" for test, _, cell in cases)
    return f"CASE {reasons} END", f"CASE {cells} END"


def _shown(cell):
    """Returns an SQL expression for the beginning of a cell."""
    if cell == "NULL":
        return cell
    cut = f"left({cell}, {_LONGEST_SHOWN}) || '...'"
    return f"CASE WHEN length({cell}) > {_LONGEST_SHOWN} THEN {cut} ELSE {cell} END"


def behavior_sql(spec) -> str:
    """Returns an SQL expression for the behaviour of a row."""
    if spec.rating:
        return _level_sql(spec.rating_levels)
    if spec.labels:
        tests = " ".join(
            f"WHEN {literal(value)} THEN {literal(name)}" for value, name in spec.labels
        )
        return f"CASE kind {tests} END"
    return "kind" if spec.behavior else literal(spec.known_behaviors[0])


def _level_sql(levels):
    tests = " ".join(
        f"WHEN rating {'<=' if level.inclusive else '<'} {level.bound!r} THEN {literal(level.name)}"
        for level in levels[:-1]
    )
    strongest = literal(levels[-1].name)
    return f"CASE {tests} ELSE {strongest} END" if tests else strongest


def advise(message: str) -> str:
    """Returns the error sentence for a row that may be skipped."""
    return f"{message}; correct it, or skip such rows with --skip-bad-rows."
