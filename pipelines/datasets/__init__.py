"""The available datasets, and how to load them.

Importing this package does not import TensorFlow; `load_dataset` does.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from pipelines.runtime.errors import InputError

if TYPE_CHECKING:
    from pipelines.datasets.event_log.beam_settings import BeamSettings
    from pipelines.datasets.event_log.spec import LogSpec
    from pipelines.datasets.interaction_dataset import InteractionDataset

__all__ = [
    "DATASETS",
    "DatasetEntry",
    "full_name",
    "load_chosen",
    "load_dataset",
    "load_log",
    "load_prepared",
]


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """A dataset that can be loaded by name.

    Args:
        description: one line of text.
        builder: its TFDS builder, as `module:class`.
        configs: names of its configurations; empty if it has only one form.
        default_config: the configuration that the bare name stands for.
        needs_files: whether the user must supply the raw files, because they cannot be downloaded.
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
        description="film ratings: dislike, neutral, like",
        builder="pipelines.datasets.movielens.movielens_dataset_builder:MovielensBehaviors",
        configs=("100k", "1m", "10m", "latest-small", "10m-csr", "10m-text"),
        default_config="1m",
    ),
    "ijcai15": DatasetEntry(
        description="the IJCAI-15 (Tmall) log: click, fav, cart, buy, with official test items",
        builder="pipelines.datasets.ijcai15.ijcai15_dataset_builder:Ijcai15",
        needs_files=True,
    ),
    "taobao": DatasetEntry(
        description="the paper's Taobao log: pv, fav, cart, buy, with official test items",
        builder="pipelines.datasets.taobao.taobao_dataset_builder:Taobao",
        configs=("csr", "text"),
        default_config="csr",
        needs_files=True,
    ),
    "taobao_sample": DatasetEntry(
        description="a sample of Taobao without times: view, cart, buy, with official test items",
        builder="pipelines.datasets.taobao_sample.taobao_sample_dataset_builder:TaobaoSample",
        needs_files=True,
    ),
    "tianchi": DatasetEntry(
        description="the paper's Tianchi log with official test items, or the contest's whole "
        "log: pv, fav, cart, buy",
        builder="pipelines.datasets.tianchi.tianchi_dataset_builder:Tianchi",
        configs=("text", "raw"),
        default_config="text",
        needs_files=True,
    ),
    "yelp": DatasetEntry(
        description="the paper's Yelp log: tip, neg, neutral, pos, with official test items",
        builder="pipelines.datasets.yelp.yelp_dataset_builder:Yelp",
        configs=("csr", "text"),
        default_config="csr",
        needs_files=True,
    ),
    "retailrocket": DatasetEntry(
        description="the Retailrocket log: view, addtocart, transaction",
        builder="pipelines.datasets.retailrocket.retailrocket_dataset_builder:Retailrocket",
        configs=("raw", "csr"),
        default_config="raw",
        needs_files=True,
    ),
    "otto": DatasetEntry(
        description="the OTTO sessions: clicks, carts, orders",
        builder="pipelines.datasets.otto.otto_dataset_builder:Otto",
        needs_files=True,
    ),
}


def load_dataset(
    name: str,
    data_dir: os.PathLike | str | None = None,
    cache_dir: os.PathLike | str | None = None,
    download: bool = True,
    beam: BeamSettings | None = None,
) -> InteractionDataset:
    """Loads a dataset, preparing it first if necessary.

    Args:
        name: `"movielens"`, or with a configuration `"movielens/100k"`; see `DATASETS`.
        data_dir: directory of the raw files, archived or unpacked, or the archive itself. By
            default they are downloaded.
        cache_dir: where prepared records and downloads are kept; by default `$HMAR_CACHE`, else
            `~/.cache/hmar`. If a raw file has changed, the dataset is prepared again.
        download: whether raw files may be downloaded.
        beam: prepares the dataset on Apache Beam, if it is an event log that need not fit into
            memory; see `pipelines.datasets.event_log.beam_settings`. The records are the same.

    Raises:
        InputError: if the dataset is unknown, its raw files are missing or damaged, the cache
            cannot be written, or Beam cannot be used.
    """
    from pipelines.datasets import loading

    return loading.load(name, DATASETS, data_dir, cache_dir, download, beam)


def load_log(
    spec: LogSpec,
    cache_dir: os.PathLike | str | None = None,
    beam: BeamSettings | None = None,
) -> InteractionDataset:
    """Loads your own log, preparing it first if necessary.

    Args:
        spec: its files, its columns and which events to keep; see
            `pipelines.datasets.event_log.LogSpec`.
        cache_dir: as for `load_dataset`. If a file has changed, the log is prepared again.
        beam: as for `load_dataset`.

    Returns:
        the dataset, named `"log/NAME"` after its first file; its `report` says what was read,
        dropped and kept.

    Raises:
        InputError: if a file is missing or damaged, a row cannot be understood, nothing is left,
            the cache cannot be written, or Beam cannot be used.
    """
    from pipelines.datasets import loading

    return loading.load_log(spec, cache_dir, beam)


def load_chosen(
    dataset: str | None,
    data_dir: os.PathLike | str | None,
    log: LogSpec | None,
    beam: BeamSettings | None = None,
) -> InteractionDataset:
    """Loads a dataset by name, or your own log, whichever is given.

    Args:
        dataset: name of the dataset, or None.
        data_dir: directory of its raw files.
        log: your own log, or None.
        beam: as for `load_dataset`.

    Raises:
        InputError: if the arguments do not fit together, or the data cannot be loaded.
    """
    if log is None and dataset is None:
        raise InputError("name a dataset (hmar data list shows them), or give a --log.")
    if log is not None and dataset is not None:
        raise InputError("a dataset and --log are mutually exclusive; give one of them.")
    if log is not None and data_dir is not None:
        raise InputError("--log already names its files; leave out --data-dir.")
    if log is None:
        return load_dataset(dataset, data_dir, beam=beam)
    return load_log(log, beam=beam)


def load_prepared(
    name: str,
    prepared: str,
    spec: LogSpec | None = None,
    cache_dir: os.PathLike | str | None = None,
) -> InteractionDataset | None:
    """Loads a dataset that is already prepared, without looking at its raw files.

    Args:
        name: the dataset's `name`.
        prepared: name of its folder in the cache, the dataset's `prepared`.
        spec: specification of your own log; None for the datasets in `DATASETS`.
        cache_dir: as for `load_dataset`.

    Returns:
        the dataset, or None if the cache does not hold it.

    Raises:
        InputError: if the prepared records are damaged.
    """
    from pipelines.datasets import loading

    return loading.load_prepared(name, prepared, spec, cache_dir, DATASETS)


def full_name(name: str) -> str:
    """Returns the name of a dataset with its configuration: `"movielens/1m"` for `"movielens"`.

    Raises:
        InputError: if the dataset is unknown.
    """
    from pipelines.datasets import loading

    return loading.full_name(name, DATASETS)
