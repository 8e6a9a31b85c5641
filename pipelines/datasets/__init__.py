"""Datasets: what there is, and how to load it.

Importing this package does not import TensorFlow; `load_dataset` does.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.datasets.interaction_dataset import InteractionDataset

__all__ = ["DATASETS", "DatasetEntry", "load_dataset"]


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """A dataset that can be loaded by name.

    Args:
        description: one line.
        builder: its TFDS builder, as `module:class`.
        configs: names of its configurations, none if there is only one form of it.
        default_config: the configuration that its bare name stands for.
        needs_files: whether it must be given raw files, because they cannot be downloaded.
    """

    description: str
    builder: str
    configs: tuple[str, ...] = ()
    default_config: str | None = None
    needs_files: bool = False


DATASETS = {
    "synthetic_shop": DatasetEntry(
        description="a simulated shop: view, favorite, cart, buy; no download",
        builder="pipelines.datasets.synthetic_shop.synthetic_shop_dataset_builder:SyntheticShop",
        configs=("tiny", "small", "medium", "million"),
        default_config="small",
    ),
    "movielens": DatasetEntry(
        description="ratings of films: dislike, neutral, like",
        builder="pipelines.datasets.movielens.movielens_dataset_builder:MovielensBehaviors",
        configs=("100k", "1m", "10m", "latest-small"),
        default_config="1m",
    ),
    "ijcai15": DatasetEntry(
        description="the IJCAI-15 (Tmall) log: click, fav, cart, buy, with official test items",
        builder="pipelines.datasets.ijcai15.ijcai15_dataset_builder:Ijcai15",
        needs_files=True,
    ),
}


def load_dataset(
    name: str,
    data_dir: os.PathLike | str | None = None,
    cache_dir: os.PathLike | str | None = None,
    download: bool = True,
) -> InteractionDataset:
    """Loads a dataset, preparing it first if that was not done before.

    Args:
        name: `"movielens"`, or with a configuration `"movielens/100k"`; see `DATASETS`.
        data_dir: directory of the raw files, archived or unpacked, or the archive itself. By
            default they are downloaded.
        cache_dir: where prepared records and downloads are kept; by default `$HMAR_CACHE`, else
            `~/.cache/hmar`. A raw file that has changed is prepared anew.
        download: whether raw files may be downloaded.

    Raises:
        InputError: if the dataset is unknown, its raw files are missing or damaged, or the cache
            cannot be written.
    """
    from pipelines.datasets import loading

    return loading.load(name, DATASETS, data_dir, cache_dir, download)
