"""The TFDS builder that all datasets share: one example a user, ids as plain arrays."""

from __future__ import annotations

import abc
import os
import pathlib
import warnings

import numpy as np
import requests
import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.raw_files import RawFiles, SourceFiles
from pipelines.errors import InputError

_REACH_SECONDS = 15


class LogBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Turns a log into TFDS records, in the order of its users, in the one split `train`.

    An example has `user` (text), `item_ids` and `behavior_ids` (int32 `[length]`), `timestamps`
    (int64 `[length]`) and `held_out_item` (int32, 0 for none). `info.metadata` has the
    catalogue (`items`), the `behaviors` from weak to strong, the `target` and `repeats`.

    Subclasses set `BEHAVIORS` and `REPEATS` and implement `sources` and `read_log`.

    Args:
        source: the raw archive or the directory it lies in; by default the manual directory of
            TFDS, then a download.
        **kwargs: as for every TFDS builder.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "See the README of the dataset."
    BEHAVIORS: Behaviors
    REPEATS: bool

    def __init__(self, *, source: os.PathLike | str | None = None, **kwargs):
        self._source = source
        super().__init__(**kwargs)

    @classmethod
    @abc.abstractmethod
    def sources(cls, config_name: str | None) -> SourceFiles | None:
        """The raw files of a configuration; None if it is made from nothing."""

    @abc.abstractmethod
    def read_log(self, name: str, files: RawFiles | None) -> InteractionDataset:
        """Reads the whole log.

        Args:
            name: to give to the dataset.
            files: what `sources` describes, found.
        """

    def expected_counts(self) -> dict[str, int]:
        """Known counts of the official files: `users`, `items`, `events` or a behaviour's name."""
        return {}

    def _info(self) -> tfds.core.DatasetInfo:
        sequence = tfds.features.Tensor  # far faster to decode than tfds.features.Sequence
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "user": tfds.features.Text(),
                    "item_ids": sequence(shape=(None,), dtype=np.int32),
                    "behavior_ids": sequence(shape=(None,), dtype=np.int32),
                    "timestamps": sequence(shape=(None,), dtype=np.int64),
                    "held_out_item": tfds.features.Scalar(dtype=np.int32),
                }
            ),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        config = self.builder_config.name if self.builder_config else None
        name = f"{self.name}/{config}" if config else self.name
        log = self.read_log(name, self._find_files(self.sources(config), dl_manager))
        self._compare_counts(log)
        self.info.metadata.update(
            items=log.items.tolist(),
            behaviors=list(log.behaviors.names),
            target=log.behaviors.target,
            repeats=log.repeats,
        )
        return {"train": self._generate_examples(log)}

    def _generate_examples(self, log):
        for user, (start, end) in enumerate(zip(log.offsets[:-1], log.offsets[1:], strict=True)):
            yield (
                user,
                {
                    "user": str(log.users[user]),
                    "item_ids": log.item_ids[start:end],
                    "behavior_ids": log.behavior_ids[start:end],
                    "timestamps": log.timestamps[start:end],
                    "held_out_item": log.held_out_items[user],
                },
            )

    def _find_files(self, sources, dl_manager):
        if sources is None:
            return None
        if self._source is not None:
            return sources.locate(self._source)
        try:
            return sources.locate(pathlib.Path(dl_manager.manual_dir))
        except (AssertionError, InputError):  # TFDS asserts that the directory exists
            if sources.url is None:
                raise InputError(
                    f"{sources.archive} is not downloaded: {sources.advice}."
                ) from None
        _check_reachable(sources)
        return sources.locate(dl_manager.download(sources.url))

    def _compare_counts(self, log):
        counts = {"users": log.num_users, "items": log.num_items, "events": log.num_events}
        counts.update(log.events_by_behavior())
        expected = self.expected_counts()
        differing = [
            f"{counts[what]:,} {what} instead of {count:,}"
            for what, count in expected.items()
            if counts[what] != count
        ]
        if differing:
            warnings.warn(
                f"{log.name} differs from the official files: {', '.join(differing)}.",
                stacklevel=2,
            )


def _check_reachable(sources):
    """Fails within seconds where there is no network; TFDS would try for minutes."""
    try:
        requests.head(sources.url, timeout=_REACH_SECONDS)
    except requests.RequestException as error:
        raise InputError(
            f"{sources.url} cannot be downloaded ({error}); {sources.advice}."
        ) from error
