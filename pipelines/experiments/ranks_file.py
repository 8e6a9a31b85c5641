"""A file of each answer's rank, from which means, curves and intervals can be recomputed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.evaluation.evaluator import Ranks
from pipelines.storage.artefacts import reading, written

_FIELDS = ("ranks", "sizes")


def save_ranks(path: Path, ranks: dict[str, Ranks]) -> None:
    """Writes ranks by name to an `.npz` file, atomically."""
    arrays = {}
    for name, each in ranks.items():
        arrays[f"{name}/ranks"] = each.ranks.astype(np.int32)
        arrays[f"{name}/sizes"] = each.sizes.astype(np.int32)
    with written(path, sum(each.nbytes for each in arrays.values())) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_ranks(path: Path) -> dict[str, Ranks]:
    """Reads ranks by name, as `save_ranks` writes them.

    Raises:
        InputError: if the file is broken.
    """
    with reading(path, "delete it and its checksum, then resume"), np.load(path) as arrays:
        names = dict.fromkeys(name.rsplit("/", 1)[0] for name in arrays.files)
        return {
            name: Ranks(*(arrays[f"{name}/{what}"].astype(np.int64) for what in _FIELDS))
            for name in names
        }
