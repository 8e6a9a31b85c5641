"""Where a log is worked on while it is prepared: a database on disk, and a progress bar."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines.storage.locks import remove_abandoned, temporary_directory

if TYPE_CHECKING:
    from pipelines.datasets.event_log.beam_settings import BeamPipelines

_PREFIX = "scratch."
_MEMORY = "512MB"  # what lies beyond goes to disk


class Workspace(contextlib.AbstractContextManager):
    """A directory that disappears when the work is done, whatever happens.

    Args:
        parent: where to make it; must exist.
        beam: makes the pipelines of Beam that read a log; None to read it here.
        quiet: whether no progress is shown.

    Attributes:
        directory: the directory.
        beam: as given.
    """

    def __init__(
        self,
        parent: str | os.PathLike,
        beam: BeamPipelines | None = None,
        quiet: bool = False,
    ):
        self.beam = beam
        self._held = contextlib.ExitStack()
        self.directory = self._held.enter_context(temporary_directory(Path(parent), _PREFIX))
        self._connection = None
        self._bar = None
        console = Console(stderr=True)
        if console.is_terminal and not quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("preparing", total=None)
            self._bar.start()

    def __exit__(self, kind, error, trace):
        if self._bar:
            self._bar.stop()
        if self._connection:
            self._connection.close()
        self._held.close()
        if isinstance(error, RuntimeError) and str(error) == "Query interrupted":
            raise KeyboardInterrupt from error  # which DuckDB makes an error of its own

    def database(self):
        """A connection to a new DuckDB database in the directory, always the same one."""
        if self._connection is None:
            import duckdb

            self._connection = duckdb.connect(
                str(self.directory / "log.duckdb"),
                config={
                    "memory_limit": _MEMORY,
                    "threads": os.cpu_count() or 1,
                    "temp_directory": str(self.directory / "spill"),
                    "autoinstall_known_extensions": False,
                },
            )
            self._connection.execute("SET TimeZone = 'UTC'")
            # DuckDB's own bar goes to standard output, past everything in Python.
            self._connection.execute("SET enable_progress_bar = false")
        return self._connection

    def progress(self, what: str, done: int | None = None, total: int | None = None) -> None:
        """Shows what is going on, on a terminal."""
        if self._bar:
            self._bar.update(self._task, description=what, completed=done or 0, total=total)


def remove_left_over(parent: Path) -> None:
    """Removes the workspaces of killed processes."""
    remove_abandoned(parent, f"{_PREFIX}*")
