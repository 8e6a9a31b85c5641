"""Reads the files of a log into one table of checked rows."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

import duckdb

from pipelines.datasets.event_log import files as log_files
from pipelines.datasets.event_log import places
from pipelines.datasets.event_log.files import JSON_LINES, LogFile
from pipelines.datasets.event_log.problems import (
    JOINED,
    MALFORMED,
    MESSAGES,
    advise,
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
from pipelines.datasets.event_log.survey import copy_whole_rows, survey
from pipelines.runtime.errors import InputError

FILE_BITS = 48  # a row's place in the log: its number in these bits, the file's number above them
_SAMPLE = 1000  # rows that decide whether a text column holds numbers or dates


class CheckedRows:
    """Fills the table `raw` in a workspace's database, with one row per event.

    Its columns are `user`, `item` and `behavior` (text); `time` and `fraction`, 0 without a time
    column; `place`, which increases with the file and the row in it; and `problem` and `cell`, for
    rows that cannot be understood.

    Args:
        spec: what to read.
        workspace: the workspace of the database.
        form: form of the times in files of the log that are read elsewhere, if known.

    Attributes:
        form: form of the times, numbers or dates, the same in all files.
    """

    def __init__(self, spec, workspace, form: str | None = None):
        self._spec = spec
        self._database = workspace.database()
        self._folder = workspace.directory
        self._files: list[LogFile] = []
        self.form = form
        self._malformed: list[Dropped] = []
        create_raw(self._database)

    def add(self, path: Path) -> None:
        """Reads a file; the order of the calls is the order of the files.

        Raises:
            InputError: if it cannot be read, or a row is invalid and may not be skipped.
        """
        file = log_files.inspect(path, self._spec)
        self._files.append(file)
        try:
            found = survey(file, self._spec.skip_bad_rows)
            if found.malformed:
                with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                    self._insert(file, found, copy_whole_rows(file, Path(folder)))
            else:
                self._insert(file, found, file)
        except duckdb.Error as error:
            raise InputError(_unreadable(file, error)) from error
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(_cannot_be_unpacked(file, error)) from error
        self._malformed += found.malformed
        if not self._spec.skip_bad_rows:
            self._refuse_bad_rows()

    def _insert(self, file, found, whole):
        """Inserts the complete rows of a file, read from `whole`, and checks their number."""
        rows = scan(whole, self._spec, self._database, found.in_lines)
        (read,) = self._database.execute(f"INSERT INTO raw {self._checked(file, rows)}").fetchone()
        if rows.lines:  # each line has a list of rows
            (read,) = self._database.execute(rows.lines).fetchone()
        if read != found.good:
            raise InputError(
                f"{file.path} has {found.good:,} rows, but {read:,} were read as {file.kind}; "
                f"write it again, as Parquet if possible."
            )

    def form_of(self, path: Path) -> str | None:
        """Returns the form of the times in a file, if its first rows show it.

        Raises:
            InputError: if the file cannot be read.
        """
        file = log_files.inspect(path, self._spec)
        try:
            return self._sampled_form(file, scan(file, self._spec, self._database))
        except duckdb.Error as error:
            raise InputError(_unreadable(file, error)) from error

    def malformed(self) -> list[Dropped]:
        """Returns the rows skipped before they reach the table, by file and reason."""
        return list(self._malformed)

    def problems(self) -> list[Dropped]:
        """Returns the rows that the table marks as not understood, by reason."""
        found = self._database.execute(
            "SELECT problem, count(*), min(place) FROM raw WHERE problem IS NOT NULL GROUP BY ALL "
            "ORDER BY min(place)"
        ).fetchall()
        return [Dropped(problem, count, self._locate(place)) for problem, count, place in found]

    def _checked(self, file, rows):
        """Returns SQL that maps the rows of a file to the columns of `raw`."""
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
        """Returns the form that the first rows show; None if no time in them can be understood."""
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

    def _refuse_bad_rows(self):
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
        raise InputError(advise(f"{self._locate(place)}: {message}"))

    def _locate(self, place):
        file = self._files[place >> FILE_BITS]
        row = place & ((1 << FILE_BITS) - 1)
        return f"{file.path} {places.line_of_row(file, row, self._spec.events)}"


def create_raw(database) -> None:
    """Creates the table that `CheckedRows` fills."""
    database.execute(
        'CREATE TABLE raw ("user" VARCHAR, item VARCHAR, behavior VARCHAR, time BIGINT, '
        "fraction DOUBLE, place BIGINT, problem VARCHAR, cell VARCHAR)"
    )


def check_same_form(path: Path, form: str, before: str | None) -> None:
    """Checks that the times of a file have the same form as those in the files before it.

    Raises:
        InputError: if they do not.
    """
    if before not in (None, form):
        raise InputError(
            f"{path} has {form} as times and the files before it {before}; use one form in all."
        )


def _unreadable(file, error):
    reason = first_line(error)
    if file.kind == JSON_LINES and (bad := places.first_bad_object(file)):
        return advise(f"{file.path} {bad}")
    if "state machine" in reason:
        return f"{file.path} has mixed line endings (LF, CRLF); convert the file."
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in reason:
        return f"{file.path} cannot be read ({reason}); free disk space or use another cache."
    return f"{file.path} cannot be read as {file.kind} ({reason}); write it again."


def _cannot_be_unpacked(file, error):
    if file.compression != "none":
        return f"{file.path} is not a complete gzip file ({error}); fetch it again."
    return f"{file.path} cannot be read ({error}); fetch or write it again."
