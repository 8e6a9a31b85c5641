"""TFDS builder for the IJCAI-15 (Tmall) log in CSR pickles."""

from __future__ import annotations

from hmar_keras.schema import Behaviors
from pipelines.datasets.csr_pickle import read_csr_log
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.raw_files import SourceFiles

_MATRICES = ("trn_click", "trn_fav", "trn_cart", "trn_buy")
_HELD_OUT = "tst_int"


class Ijcai15(LogBuilder):
    """Clicks, favourites, carts and purchases of one season, with the official test purchases."""

    BEHAVIORS = Behaviors(("click", "fav", "cart", "buy"), target="buy")
    REPEATS = False
    HELD_OUT_ANYWHERE = True

    @classmethod
    def sources(cls, config_name) -> SourceFiles:
        """Returns the archive of the research release, which has no permanent address."""
        return SourceFiles(
            archive="IJCAI_15.zip",
            members=(*_MATRICES, _HELD_OUT),
            folder="IJCAI_15",
            homepage="https://github.com/weiwei1206/CML",
        )

    def read_log(self, name, files) -> InteractionDataset:
        """Reads the four matrices and the list of test items."""
        return read_csr_log(name, self.BEHAVIORS, self.REPEATS, files, _MATRICES, _HELD_OUT)

    def expected_counts(self):
        """Returns the counts of the official files."""
        return {
            "users": 17_435,
            "items": 35_920,
            "click": 606_728,
            "fav": 60_204,
            "cart": 751,
            "buy": 131_685,
        }
