"""TFDS builder of the paper's Taobao log."""

from __future__ import annotations

import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import CsrForm, TextForm

_BEHAVIORS = Behaviors(("pv", "fav", "cart", "buy"), target="buy")
_EXPECTED = {"users": 147_894, "items": 99_037, "events": 7_658_926}
_FORMS = {
    "csr": CsrForm(
        _BEHAVIORS,
        homepage="https://github.com/akaxlh/MB-GMN",
        folder="Datasets/Tmall",
        packed=("trn_pv",),
        expected=_EXPECTED,
    ),
    "text": TextForm(_BEHAVIORS, "Tmall", _EXPECTED),
}


class Taobao(LogBuilder):
    """Page views, favourites, carts and purchases, with the official test purchases."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=form.description)
        for name, form in _FORMS.items()
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "csr"
    BEHAVIORS = _BEHAVIORS
    # The CSR form has one event a user, item and behaviour, so no item is bought twice; but the
    # item of a purchase may have been viewed before, and what was touched must remain an answer.
    REPEATS = True

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
