"""From the files of a log to one table of checked rows."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from pipelines.datasets.event_log import files as log_files
from pipelines.datasets.event_log import places
from pipelines.datasets.event_log.files import CSV, JSON_LINES, LogFile
from pipelines.datasets.event_log.problems import (
    JOINED,
    MALFORMED,
    MESSAGES,
    behavior_sql,
    problem_sql,
)
from pipelines.datasets.event_log.report import Dropped
from pipelines.datasets.event_log.scans import scan
from pipelines.datasets.event_log.sql import (
    DATES,
    NUMBERS,
    date_sql,
    first_line,
    id_text,
    identifier,
    literal,
    time_form,
    time_sql,
)
from pipelines.errors import InputError

FILE_BITS = 48  # the place of a row in the log: the file's number, and below it the row's
_SAMPLE = 1000  # rows that decide whether a text column holds numbers or dates
_ENDLESS_QUOTE = "UNQUOTED VALUE"


class CheckedRows:
    """Fills the table `raw` of a workspace's database, one row an event.

    Its columns: `user`, `item` and `behavior` (text); `time` and `fraction`, 0 without a time
    column; `place`, which rises with the file and the row in it; and for
    rows that cannot be understood `problem` and `cell`.

    Args:
        spec: what to read.
        workspace: where.
        form: of the times in files of the log that are read elsewhere, as far as it is known.

    Attributes:
        form: of the times, numbers or dates, the same in all files.
    """

    def __init__(self, spec, workspace, form: str | None = None):
        self._spec = spec
        self._database = workspace.database()
        self._files: list[LogFile] = []
        self.form = form
        self._malformed: list[Dropped] = []
        create_raw(self._database)

    def add(self, path: Path) -> None:
        """Reads a file; the order of the calls is the order of the files.

        Raises:
            InputError: if it cannot be read, or a row is unsound and may not be skipped.
        """
        file = log_files.inspect(path, self._spec)
        self._files.append(file)
        try:
            rows = scan(file, self._spec, self._database)
            self._database.execute(f"INSERT INTO raw {self._checked(file, rows)}")
        except duckdb.Error as error:
            raise InputError(_unreadable(file, error)) from error
        if file.kind == CSV:
            self._count_rejects(file)
        if not self._spec.skip_bad_rows:
            self._refuse_bad_rows(file)

    def form_of(self, path: Path) -> str | None:
        """The form in which a file has its times, as far as its first rows show it.

        Raises:
            InputError: if it cannot be read.
        """
        file = log_files.inspect(path, self._spec)
        try:
            return self._sampled_form(file, scan(file, self._spec, self._database))
        except duckdb.Error as error:
            raise InputError(_unreadable(file, error)) from error

    def malformed(self) -> list[Dropped]:
        """What was skipped before it reached the table, file by file and by reason."""
        return list(self._malformed)

    def problems(self) -> list[Dropped]:
        """What the table marks as not understood, by reason."""
        found = self._database.execute(
            "SELECT problem, count(*), min(place) FROM raw WHERE problem IS NOT NULL GROUP BY ALL "
            "ORDER BY min(place)"
        ).fetchall()
        return [Dropped(problem, count, self._locate(place)) for problem, count, place in found]

    def _checked(self, file, rows):
        """SQL from a file's rows to the columns of `raw`."""
        spec = self._spec
        time, fraction, missing = "0", "0.0", "false"
        if spec.time:
            stored = rows.types["moment"]
            time, fraction = time_sql(stored, self._time_form(file, rows))
            missing = "coalesce(moment, '') = ''" if stored == "VARCHAR" else "moment IS NULL"
        texts = {
            role: id_text(identifier(role), rows.types[role]) if role in rows.types else "NULL"
            for role in ("user", "item", "kind")
        }
        problem, cell = problem_sql(spec)
        if file.kind == JSON_LINES:
            empty = " AND ".join(f"{identifier(role)} IS NULL" for role in rows.types)
            problem = f"CASE WHEN {empty} THEN {literal(MALFORMED)} ELSE {problem} END"
        problem = f"CASE WHEN joined THEN {literal(JOINED)} ELSE {problem} END"
        place = f"{len(self._files) - 1} * {1 << FILE_BITS} + row"
        return (
            f'SELECT "user", item, {behavior_sql(spec)}, time, fraction, {place}, {problem}, '
            f"{cell} FROM (SELECT *, {time} AS time, {fraction} AS fraction, "
            f"{missing} AS moment_missing, TRY_CAST(kind AS DOUBLE) AS rating FROM ("
            f'SELECT {texts["user"]} AS "user", {texts["item"]} AS item, {texts["kind"]} AS kind, '
            f"moment, row, joined FROM ({rows.query})))"
        )

    def _time_form(self, file, rows):
        form = self._sampled_form(file, rows)
        if form:
            check_same_form(file.path, form, self.form)
            self.form = form
        return form or self.form or NUMBERS

    def _sampled_form(self, file, rows):
        """The form that the first rows show; None if they have no time that can be understood."""
        kind = rows.types["moment"]
        form = time_form(kind)
        if form:
            return form
        if kind != "VARCHAR":
            raise InputError(
                f"{file.path}: the column {self._spec.time!r} holds {kind}; a time must be a "
                f"number, a date or text."
            )
        numbers, dates = self._database.execute(
            f"SELECT count(TRY_CAST(moment AS DECIMAL(38, 9))), count({date_sql('moment')}) "
            f"FROM ({rows.query} LIMIT {_SAMPLE})"
        ).fetchone()
        if not numbers and not dates:
            return None
        return DATES if dates > numbers else NUMBERS

    def _count_rejects(self, file):
        """Rows of CSV that have another number of fields or are no text."""
        database = self._database
        # A line can have several errors, one a missing field; its first one counts.
        lines = (
            "SELECT line_byte_position AS position, arg_min(error_type, byte_position) AS kind, "
            "arg_min(error_message, byte_position) AS message FROM rejects GROUP BY position"
        )
        try:
            kinds = database.execute(
                f"SELECT kind, count(*), min(position), arg_min(message, position) FROM ({lines}) "
                f"GROUP BY kind ORDER BY 3"
            ).fetchall()
        except duckdb.CatalogException:
            return
        database.execute("DROP TABLE rejects")
        database.execute("DROP TABLE scans")
        for kind, count, position, message in kinds:
            where = f"{file.path} {places.line_of_byte(file.path, position)}"
            if kind == _ENDLESS_QUOTE:
                raise InputError(
                    f"{where}: a quotation mark is opened and the field does not end with one; "
                    f"mend the line, for nothing after it can be told apart."
                )
            if not self._spec.skip_bad_rows:
                raise InputError(_advise(f"{where}: {_reject_message(file, kind, message)}"))
            self._malformed.append(Dropped(f"{MALFORMED} ({kind.lower()})", count, where))

    def _refuse_bad_rows(self, file):
        first = self._database.execute(
            "SELECT problem, cell, place FROM raw WHERE problem IS NOT NULL ORDER BY place LIMIT 1"
        ).fetchone()
        if first is None:
            return
        problem, cell, place = first
        form = {
            NUMBERS: "not a finite number within 64 bits",
            DATES: "not a date such as 2024-05-31 or 2024-05-31T10:00:00Z",
        }.get(self.form, "neither a number nor a date such as 2024-05-31 or 2024-05-31T10:00:00Z")
        message = MESSAGES[problem].format(cell=cell, form=form)
        raise InputError(_advise(f"{self._locate(place)}: {message}"))

    def _locate(self, place):
        file = self._files[place >> FILE_BITS]
        row = place & ((1 << FILE_BITS) - 1)
        return f"{file.path} {places.line_of_row(file, row, self._spec.events)}"


def create_raw(database) -> None:
    """The table that `CheckedRows` fills."""
    database.execute(
        'CREATE TABLE raw ("user" VARCHAR, item VARCHAR, behavior VARCHAR, time BIGINT, '
        "fraction DOUBLE, place BIGINT, problem VARCHAR, cell VARCHAR)"
    )


def check_same_form(path: Path, form: str, before: str | None) -> None:
    """Checks that the times of a file have the form of those in the files before it.

    Raises:
        InputError: if they do not.
    """
    if before not in (None, form):
        raise InputError(
            f"{path} has {form} as times and the files before it {before}; write all in one form."
        )


def _reject_message(file, kind, message):
    if kind == "INVALID ENCODING":
        return "this is not UTF-8 text"
    found = re.search(r"Found: (\d+)", message)
    if found:
        return f"this line has {found[1]} fields instead of {len(file.names)}"
    return first_line(message)


def _unreadable(file, error):
    reason = first_line(error)
    if file.kind == JSON_LINES and (bad := places.first_bad_object(file.path)):
        return _advise(f"{file.path} {bad}")
    if "state machine" in reason:
        return f"{file.path} has lines that end in different ways (LF, CRLF); convert the file."
    if "GZIP" in reason:
        return f"{file.path} is not a complete gzip file ({reason}); fetch it again."
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in reason:
        return f"{file.path} cannot be read in ({reason}); free the disk or use another cache."
    return f"{file.path} cannot be read as {file.kind} ({reason}); write it again."


def _advise(message):
    return f"{message}; mend it, or leave such rows out with --skip-bad-rows."
