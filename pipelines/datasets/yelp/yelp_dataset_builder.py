"""TFDS builder of the paper's Yelp log."""

from __future__ import annotations

import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import CsrForm, TextForm

_BEHAVIORS = Behaviors(("tip", "neg", "neutral", "pos"), target="pos")
# The paper gives 1,400,000 events, a rounded number.
_EXPECTED = {
    "users": 19_800,
    "items": 22_734,
    "tip": 285_673,
    "neg": 198_106,
    "neutral": 238_880,
}
_FORMS = {
    "csr": CsrForm(
        _BEHAVIORS,
        homepage="https://github.com/akaxlh/KHGT",
        folder="Datasets/Yelp",
        expected=_EXPECTED,
    ),
    "text": TextForm(_BEHAVIORS, "Yelp", _EXPECTED),
}


class Yelp(LogBuilder):
    """Tips and ratings of businesses, with the official test likes."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=form.description)
        for name, form in _FORMS.items()
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "csr"
    BEHAVIORS = _BEHAVIORS
    REPEATS = False  # no test item occurs among its user's tips and ratings

    @classmethod
    def sources(cls, config_name) -> SourceFiles:
        """The loose files of a form of the release."""
        return _FORMS[config_name].sources

    def read_log(self, name, files) -> InteractionDataset:
        """Reads the form of the builder's configuration."""
        return _FORMS[self.builder_config.name].read(name, self.REPEATS, files)

    def expected_counts(self):
        """Counts of the official files."""
        return _FORMS[self.builder_config.name].expected
