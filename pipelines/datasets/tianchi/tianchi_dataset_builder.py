"""TFDS builder of the paper's Tianchi log, and of the contest's log that it names as the origin."""

from __future__ import annotations

import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import EventForm, TextForm

_BEHAVIORS = Behaviors(("pv", "fav", "cart", "buy"), target="buy")
_REPEATS = True  # what is bought may have been viewed or put into the cart before
_RAW = SourceFiles(
    "data_format1.zip",
    ("user_log_format1.csv",),
    "data_format1",
    "https://tianchi.aliyun.com/competition/entrance/231576",
)
_FORMS = {
    "text": TextForm(
        _BEHAVIORS, "Tianchi", {"users": 25_000, "items": 500_900, "events": 4_619_389}
    ),
    "raw": EventForm(
        _RAW,
        LogSpec(
            _RAW.members,
            user="user_id",
            item="item_id",
            behavior="action_type",
            time="time_stamp",
            labels=(("0", "pv"), ("3", "fav"), ("1", "cart"), ("2", "buy")),
            target=_BEHAVIORS.target,
            # Of the time only the day is known: rows that are alike are events of one day.
            keep_duplicates=True,
            repeats=_REPEATS,
        ),
        {
            "users": 424_170,
            "items": 1_090_390,
            "events": 54_925_330,
            "pv": 48_550_713,
            "fav": 3_005_723,
            "cart": 76_750,
            "buy": 3_292_144,
        },
    ),
}


class Tianchi(LogBuilder):
    """Page views, favourites, carts and purchases: the paper's sample, or the whole log."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=form.description)
        for name, form in _FORMS.items()
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "text"
    BEHAVIORS = _BEHAVIORS
    REPEATS = _REPEATS

    @classmethod
    def sources(cls, config_name) -> SourceFiles:
        """The files of a form of the log."""
        return _FORMS[config_name].sources

    def read_log(self, name, files) -> InteractionDataset | OrderedLog:
        """Reads the form of the builder's configuration."""
        form = _FORMS[self.builder_config.name]
        if isinstance(form, EventForm):
            return form.read(name, files, self.workspace)
        return form.read(name, self.REPEATS, files)

    def expected_counts(self):
        """Counts of the official files."""
        return _FORMS[self.builder_config.name].expected
