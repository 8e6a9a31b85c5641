"""Logs with one row per event, in files of any size: CSV, Parquet and JSON lines.

`LogSpec` says where they are and what their columns mean; `reading.read_event_log` reads, checks,
cleans and orders them. The rows are never all in memory: DuckDB keeps them on disk.

Importing this package does not import TensorFlow.
"""

from pipelines.datasets.event_log.beam_settings import BeamSettings
from pipelines.datasets.event_log.report import PreparationReport
from pipelines.datasets.event_log.spec import LogSpec

__all__ = ["BeamSettings", "LogSpec", "PreparationReport"]
