"""TFDS builder of the Retailrocket log."""

from __future__ import annotations

import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import CsrForm, EventForm

_REPEATS = True  # what is bought may have been viewed or put into the cart before
_RAW = SourceFiles(
    "archive.zip",
    ("events.csv",),
    "",
    "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
)
_FORMS = {
    "raw": EventForm(
        _RAW,
        LogSpec(
            _RAW.members,
            user="visitorid",
            item="itemid",
            behavior="event",
            time="timestamp",
            behaviors=("view", "addtocart", "transaction"),
            target="transaction",
            keep_duplicates=True,  # the official counts include 460 rows that repeat others
            repeats=_REPEATS,
        ),
        {
            "users": 1_407_580,
            "items": 235_061,
            "events": 2_756_101,
            "view": 2_664_312,
            "addtocart": 69_332,
            "transaction": 22_457,
        },
    ),
    "csr": CsrForm(
        Behaviors(("view", "cart", "buy"), target="buy"),
        homepage="https://github.com/HKUDS/SSLRec",
        folder="datasets/multi_behavior/retail_rocket",
    ),
}


class Retailrocket(LogBuilder):
    """Views, carts and purchases of a shop: all of them, or those of a research release."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=form.description)
        for name, form in _FORMS.items()
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "raw"
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
