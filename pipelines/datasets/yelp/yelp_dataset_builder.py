"""TFDS builder for the paper's Yelp log."""

from __future__ import annotations

from hmar_keras.schema import Behaviors
from pipelines.datasets.release_forms import CsrForm, TextForm
from pipelines.datasets.released_log import ReleasedLog

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


class Yelp(ReleasedLog):
    """Tips and ratings of businesses, with the official test likes."""

    FORMS = _FORMS
    BEHAVIORS = _BEHAVIORS
    REPEATS = False  # no test item occurs among its user's tips and ratings
