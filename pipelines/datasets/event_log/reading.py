"""A whole log: its files read, checked, cleaned and put in order."""

from __future__ import annotations

import duckdb

from pipelines.datasets.event_log import files as log_files
from pipelines.datasets.event_log.beam_log import BeamLog, read_with_beam
from pipelines.datasets.event_log.checked_rows import CheckedRows
from pipelines.datasets.event_log.cleaning import order_events
from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.event_log.spec import LogSpec
from pipelines.datasets.event_log.sql import first_line
from pipelines.datasets.event_log.workspace import Workspace
from pipelines.runtime.errors import InputError


def read_event_log(name: str, spec: LogSpec, workspace: Workspace) -> OrderedLog | BeamLog:
    """Reads, checks, cleans and orders a log, on Beam if the workspace says so.

    Events of equal time stay in the order of their rows, files in the order of `find_files`.
    Users and items are numbered in shortlex order of their ids, as `group_by_user` does.

    Args:
        name: to give to the dataset.
        spec: what to read and what to keep.
        workspace: where; the result can be used as long as it exists.

    Raises:
        InputError: if a file cannot be read, a row not understood (unless `skip_bad_rows`), or
            nothing is left.
    """
    if workspace.beam:
        return read_with_beam(name, spec, workspace)
    rows = CheckedRows(spec, workspace)
    paths = log_files.find_files(spec.files)
    for number, path in enumerate(paths):
        workspace.progress(f"reading {path.name}", number, len(paths))
        rows.add(path)
    try:
        return order_events(name, spec, workspace, len(paths), rows.malformed() + rows.problems())
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise InputError(
            f"{name} cannot be prepared in {workspace.directory.parent} ({first_line(error)}); "
            f"free the disk or choose another cache directory."
        ) from error
