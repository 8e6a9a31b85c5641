"""TFDS builder for the OTTO session log."""

from __future__ import annotations

from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import AnyOf, EventForm

_KAGGLE = "https://www.kaggle.com"
_DATASET = SourceFiles(
    "archive.zip", ("otto-recsys-train.jsonl",), "", f"{_KAGGLE}/datasets/otto/recsys-dataset"
)
_COMPETITION = SourceFiles(
    "otto-recommender-system.zip",
    ("train.jsonl",),
    "",
    f"{_KAGGLE}/competitions/otto-recommender-system",
)
_FORM = EventForm(
    AnyOf((_DATASET, _COMPETITION)),
    LogSpec(
        _DATASET.members,
        user="session",
        item="aid",
        behavior="type",
        time="ts",
        events="events",
        behaviors=("clicks", "carts", "orders"),
        target="orders",
        keep_duplicates=True,  # the official counts include all events
        repeats=True,  # ordered items were carted before, and mostly clicked
    ),
    {
        "users": 12_899_779,
        "items": 1_855_603,
        "events": 216_716_096,
        "clicks": 194_720_954,
        "carts": 16_896_191,
        "orders": 5_098_951,
    },
)


class Otto(LogBuilder):
    """Clicks, carts and orders in the sessions of a web shop."""

    @classmethod
    def sources(cls, config_name) -> AnyOf:
        """Returns the training sessions, from either source."""
        return _FORM.sources

    def read_log(self, name, files) -> OrderedLog:
        """Reads the sessions."""
        return _FORM.read(name, files, self.workspace)

    def expected_counts(self):
        """Returns the counts of the official file."""
        return _FORM.expected
