"""The workspace in which a log is prepared: a database on disk, and a progress bar."""

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
_MEMORY = "512MB"  # the rest spills to disk


class Workspace(contextlib.AbstractContextManager):
    """A temporary directory that is removed when the work is done, even after an error.

    Args:
        parent: where to create it; must exist.
        beam: makes the Beam pipelines that read a log; None to read it in this process.
        quiet: whether to hide progress.

    Attributes:
        directory: the directory.
        beam: the argument `beam`.
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
            raise KeyboardInterrupt from error  # DuckDB turns it into its own error

    def database(self):
        """Returns the connection to the DuckDB database in the directory, created on first use."""
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
            # DuckDB writes its progress bar to standard output, bypassing Python.
            self._connection.execute("SET enable_progress_bar = false")
        return self._connection

    def progress(self, what: str, done: int | None = None, total: int | None = None) -> None:
        """Shows the current step, if standard error is a terminal."""
        if self._bar:
            self._bar.update(self._task, description=what, completed=done or 0, total=total)


def remove_left_over(parent: Path) -> None:
    """Removes the workspaces of killed processes."""
    remove_abandoned(parent, f"{_PREFIX}*")
