"""Reads, checks, cleans and orders a whole log."""

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
    """Reads, checks, cleans and orders a log, on Beam if the workspace has a runner.

    Events with equal times stay in row order, with files in the order of `find_files`. Users and
    items are numbered in shortlex order of their ids, as in `group_by_user`.

    Args:
        name: the name to give to the dataset.
        spec: what to read and what to keep.
        workspace: where to work; the result is valid as long as it exists.

    Raises:
        InputError: if a file cannot be read, a row cannot be understood (unless `skip_bad_rows`),
            or nothing is left.
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
            f"free disk space or choose another cache directory."
        ) from error
