"""TFDS builder for a user's own log: CSV, Parquet or JSON lines."""

from __future__ import annotations

from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.files import dataset_name
from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.event_log.reading import read_event_log
from pipelines.datasets.log_builder import LogBuilder


class OwnLog(LogBuilder):
    """Any log with one event per row; a `LogSpec` says what its columns mean.

    Args:
        spec: the specification of the log.
        **kwargs: as for every TFDS builder.
    """

    def __init__(self, *, spec: LogSpec, **kwargs):
        self._spec = spec
        super().__init__(**kwargs)

    @classmethod
    def sources(cls, config_name):
        """Returns None: the specification names the files."""
        return None

    def read_log(self, name, files) -> OrderedLog:
        """Reads, cleans and orders the log, which is named after its first file."""
        return read_event_log(dataset_name(self._spec.files), self._spec, self.workspace)
