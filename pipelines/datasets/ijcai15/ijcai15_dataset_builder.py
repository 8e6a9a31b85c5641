"""The IJCAI-15 (Tmall) log as pickled sparse matrices, with its official test list."""

from __future__ import annotations

import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.csr_pickle import read_csr_log
from pipelines.datasets.log_builder import LogBuilder, manual_folder
from pipelines.datasets.source_files import SourceFiles
from pipelines.errors import InputError

_ARCHIVE = "IJCAI_15.zip"
_HELD_OUT = "tst_int"


class Ijcai15(LogBuilder):
    """IJCAI-15: click, fav, cart, buy."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put IJCAI_15.zip, or the files trn_click, trn_fav, trn_cart, trn_buy and tst_int from "
        "it, into the directory; they are in the repository weiwei1206/CML on GitHub."
    )
    BEHAVIORS = Behaviors(("click", "fav", "cart", "buy"), "buy")
    REPEATS = False
    EXPECTED_EVENTS = {"": 799_368}

    @classmethod
    def source_files(cls, folder, config_name):
        """The archive or the unpacked files."""
        source = SourceFiles(folder, _ARCHIVE)
        names = [*(f"trn_{name}" for name in cls.BEHAVIORS.names), _HELD_OUT]
        return sorted({path for name in names if (path := source.find(name))})

    def read_log(self, dl_manager):
        """Reads the matrices and the test list."""
        folder = manual_folder(dl_manager)
        if folder is None:
            raise InputError(
                f"ijcai15 cannot be downloaded; get {_ARCHIVE} from the repository "
                "weiwei1206/CML on GitHub and name its directory with --data-dir."
            )
        return read_csr_log(SourceFiles(folder, _ARCHIVE).read, self.BEHAVIORS.names, _HELD_OUT)
