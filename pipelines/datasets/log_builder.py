"""The base of every dataset builder: one record a user, in time order."""

from __future__ import annotations

import abc
import warnings
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_log import InteractionLog


class LogBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of interaction logs.

    A subclass states `BEHAVIORS` and `REPEATS` and reads its source in `read_log`. The one split
    is `train`; how events are divided for training and evaluation is not the dataset's business.

    A record:
        `user`: the original user id.
        `item_ids`: int32 [events], from 1, oldest first.
        `behavior_ids`: int32 [events], from 1, weak to strong.
        `timestamps`: int64 [events].
        `held_out_item`: int32, the official test item, 0 if there is none.

    `info.metadata` of a prepared dataset holds `items` (the vocabulary: id i is `items[i - 1]`),
    `behaviors`, `target` and `repeats`.
    """

    BEHAVIORS: Behaviors
    REPEATS: bool
    # Events by configuration name, where the source is fixed and they are known.
    EXPECTED_EVENTS: dict[str, int] = {}

    @classmethod
    def source_files(cls, folder: Path, config_name: str | None) -> list[Path]:
        """The files in the user's folder that the dataset is made of."""
        return []

    @classmethod
    def settings(cls, config_name: str | None) -> dict:
        """What else the records depend on, as JSON values."""
        return {}

    @abc.abstractmethod
    def read_log(self, dl_manager) -> InteractionLog:
        """Reads the source.

        Raises:
            InputError: if it is missing or broken.
        """

    def _info(self):
        # Not tfds.features.Sequence: a plain ragged tensor decodes many times faster.
        ids = tfds.features.Tensor(shape=(None,), dtype=np.int32)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "user": tfds.features.Text(),
                    "item_ids": ids,
                    "behavior_ids": ids,
                    "timestamps": tfds.features.Tensor(shape=(None,), dtype=np.int64),
                    "held_out_item": np.int32,
                }
            ),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        log = self.read_log(dl_manager)
        self.info.metadata.update(
            items=log.items.tolist(),
            behaviors=list(self.BEHAVIORS.names),
            target=self.BEHAVIORS.target,
            repeats=self.REPEATS,
        )
        expected = self.EXPECTED_EVENTS.get(self.builder_config.name if self.builder_config else "")
        if expected is not None and expected != len(log.item_ids):
            warnings.warn(
                f"{self.name}: the source has {len(log.item_ids):,} events and not the "
                f"{expected:,} of the official one; results will not compare.",
                stacklevel=2,
            )
        return {"train": self._generate_examples(log)}

    def _generate_examples(self, log):
        for row, user in enumerate(log.users):
            events = slice(log.offsets[row], log.offsets[row + 1])
            yield (
                row,
                {
                    "user": str(user),
                    "item_ids": log.item_ids[events],
                    "behavior_ids": log.behavior_ids[events],
                    "timestamps": log.timestamps[events],
                    "held_out_item": log.held_out_items[row],
                },
            )


def manual_folder(dl_manager) -> Path | None:
    """The directory that the user gave with the raw files, if any."""
    try:
        return Path(dl_manager.manual_dir)
    except AssertionError:  # none was given
        return None
