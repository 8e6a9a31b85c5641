"""TFDS builder for the paper's Tianchi log, and for the contest's log it names as the origin."""

from __future__ import annotations

from hmar_keras.schema import Behaviors
from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import EventForm, TextForm
from pipelines.datasets.released_log import ReleasedLog

_BEHAVIORS = Behaviors(("pv", "fav", "cart", "buy"), target="buy")
_REPEATS = True  # bought items may have been viewed or carted before
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
            # Only the day of each event is known: identical rows are events of the same day.
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


class Tianchi(ReleasedLog):
    """Page views, favourites, carts and purchases: the paper's sample, or the whole log."""

    FORMS = _FORMS
    BEHAVIORS = _BEHAVIORS
    REPEATS = _REPEATS
