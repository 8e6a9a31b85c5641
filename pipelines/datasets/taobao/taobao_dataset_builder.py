"""TFDS builder for the paper's Taobao log."""

from __future__ import annotations

from hmar_keras.schema import Behaviors
from pipelines.datasets.release_forms import CsrForm, TextForm
from pipelines.datasets.released_log import ReleasedLog

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


class Taobao(ReleasedLog):
    """Page views, favourites, carts and purchases, with the official test purchases."""

    FORMS = _FORMS
    BEHAVIORS = _BEHAVIORS
    # The CSR form has one event per user, item and behaviour, so no item is bought twice. But a
    # bought item may have been viewed before, so items a user knows must remain possible answers.
    REPEATS = True
