"""TFDS builder for the Retailrocket log."""

from __future__ import annotations

from hmar_keras.schema import Behaviors
from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import CsrForm, EventForm
from pipelines.datasets.released_log import ReleasedLog

_REPEATS = True  # bought items may have been viewed or carted before
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
            keep_duplicates=True,  # the official counts include 460 duplicate rows
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


class Retailrocket(ReleasedLog):
    """Views, carts and purchases in a shop: the whole log, or that of a research release."""

    FORMS = _FORMS
    REPEATS = _REPEATS
