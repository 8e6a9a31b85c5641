"""From a dataset's name to its arrays, through records that are prepared once and kept."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import InputError

if TYPE_CHECKING:
    from pipelines.datasets.interaction_dataset import InteractionDataset


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """Where a dataset's builder is and what it is called.

    Args:
        module: the builder's module.
        builder: the builder's class in it.
        configs: configuration names, the default first; empty if there is but one.
        description: one line for a newcomer.
    """

    module: str
    builder: str
    configs: tuple[str, ...]
    description: str


DATASETS = {
    "synthetic_shop": DatasetEntry(
        "pipelines.datasets.synthetic_shop.synthetic_shop_dataset_builder",
        "SyntheticShop",
        ("small", "tiny", "medium", "million"),
        "embedded, a simulated shop: view, favorite, cart, buy",
    ),
    "movielens": DatasetEntry(
        "pipelines.datasets.movielens.movielens_dataset_builder",
        "MovielensBehaviors",
        ("1m", "100k", "10m", "latest-small"),
        "film ratings: dislike, neutral, like",
    ),
    "ijcai15": DatasetEntry(
        "pipelines.datasets.ijcai15.ijcai15_dataset_builder",
        "Ijcai15",
        (),
        "Tmall log with an official test list: click, fav, cart, buy",
    ),
}


def load_dataset(
    name: str,
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
    download: bool = True,
) -> InteractionDataset:
    """Loads a dataset, preparing it first where that has not been done.

    Prepared records are kept under `cache_dir`, else `$HMAR_CACHE`, else `~/.cache/hmar`, by the
    builder's version and the size and time of the source files: a changed source is prepared
    anew.

    Args:
        name: one of `DATASETS`, with a configuration where it has several: `"movielens/1m"`.
        data_dir: directory of the raw files, or the archive itself; None to download them.
        cache_dir: where prepared records are kept.
        download: whether raw files may be downloaded.

    Raises:
        InputError: if the name is unknown, a file is missing, broken or empty, or the cache
            cannot be written.
    """
    entry, config = _find(name)
    folder = _data_folder(data_dir)
    builder_class = getattr(importlib.import_module(entry.module), entry.builder)
    sources = builder_class.source_files(folder, config) if folder else []
    cache = _cache_root(cache_dir) / _fingerprint(name, config, builder_class, sources)
    builder = _prepared(builder_class, config, cache, folder, download)
    full_name = f"{name.split('/')[0]}/{config}" if config else name
    return _read(builder, full_name)


def _find(name):
    base, _, config = name.partition("/")
    if base not in DATASETS:
        raise InputError(f"unknown dataset {name!r}; the datasets are {', '.join(DATASETS)}.")
    configs = DATASETS[base].configs
    if config and config not in configs:
        known = ", ".join(f"{base}/{known}" for known in configs) or base
        raise InputError(f"unknown dataset {name!r}; of this kind there is {known}.")
    return DATASETS[base], config or (configs[0] if configs else None)


def _data_folder(data_dir):
    if data_dir is None:
        return None
    path = Path(data_dir).expanduser()
    if not path.exists():
        raise InputError(f"the data directory {path} does not exist; give the right --data-dir.")
    folder = path.parent if path.is_file() else path
    if not any(folder.iterdir()):
        raise InputError(f"the data directory {path} is empty; put the raw files there.")
    return folder


def _cache_root(cache_dir):
    root = cache_dir or os.environ.get("HMAR_CACHE") or Path.home() / ".cache" / "hmar"
    root = Path(root).expanduser()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"prepared data cannot be kept in {root} ({error.strerror}); set HMAR_CACHE to a "
            "directory that can be written."
        ) from error
    if not os.access(root, os.W_OK):
        raise InputError(
            f"prepared data cannot be kept in {root}, which is not writable; set HMAR_CACHE to a "
            "directory that can be written."
        )
    return root


def _fingerprint(name, config, builder_class, sources):
    """The folder for records that are made of exactly these sources by exactly this builder."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    key = json.dumps([str(builder_class.VERSION), config, builder_class.settings(config), stats])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return "-".join([*name.split("/")[:1], *([config] if config else []), digest])


def _prepared(builder_class, config, cache, folder, download):
    import tensorflow_datasets as tfds

    builder = builder_class(data_dir=cache, config=config)
    if builder.data_path.exists():  # TFDS writes elsewhere and renames when it is complete
        return builder
    if not download and folder is None and builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise InputError(f"{builder.name} needs its raw files: give their directory as --data-dir.")
    settings = tfds.download.DownloadConfig(manual_dir=folder)
    tfds.disable_progress_bar()
    try:
        # TFDS announces itself on stdout, which belongs to the caller's results.
        with contextlib.redirect_stdout(open(os.devnull, "w")):
            builder.download_and_prepare(download_dir=cache / "downloads", download_config=settings)
    except InputError:
        raise
    except (tfds.download.DownloadError, ConnectionError, OSError) as error:
        raise InputError(
            f"{builder.name} could not be downloaded or prepared in {cache} "
            f"({type(error).__name__}: {_one_line(error)}); {_instructions(builder_class)}"
        ) from error
    return builder


def _instructions(builder_class):
    text = builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS
    return f"{text} Then give it as --data-dir." if text else "check the disk and try again."


def _one_line(error):
    return " ".join(str(error).split())[:200]


def _read(builder, name):
    """All records, a thousand users at a time: decoding them one by one is far slower."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from hmar_keras.schema import Behaviors
    from pipelines.datasets.interaction_dataset import InteractionDataset

    # One file after another, so that users come in the order in which they were written.
    read_config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    records = builder.as_dataset(split="train", read_config=read_config, shuffle_files=False)
    parts = list(records.ragged_batch(1024).prefetch(tf.data.AUTOTUNE))

    def joined(key):
        return np.concatenate([part[key].numpy() for part in parts])

    def events(key):
        return np.concatenate([part[key].flat_values.numpy() for part in parts])

    lengths = np.concatenate([part["item_ids"].row_lengths().numpy() for part in parts])
    metadata = builder.info.metadata
    return InteractionDataset(
        name=name,
        behaviors=Behaviors(tuple(metadata["behaviors"]), metadata["target"]),
        repeats=metadata["repeats"],
        users=np.array([user.decode() for user in joined("user")]),
        items=np.array(metadata["items"]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item_ids=events("item_ids"),
        behavior_ids=events("behavior_ids"),
        timestamps=events("timestamps"),
        held_out_items=joined("held_out_item"),
    )
