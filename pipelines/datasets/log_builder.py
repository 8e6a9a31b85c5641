"""The TFDS builder shared by all datasets: one example per user, ids as plain arrays."""

from __future__ import annotations

import abc
import functools
import itertools
import json
import os
import pathlib
import warnings
from typing import ClassVar

import numpy as np
import requests
import tensorflow_datasets as tfds

from pipelines.datasets.event_log.beam_log import BeamLog
from pipelines.datasets.event_log.beam_settings import BeamPipelines
from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.event_log.workspace import Workspace
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.prepared_records import write_records
from pipelines.datasets.raw_files import RawFiles, SourceFiles
from pipelines.runtime.errors import InputError

_REACH_SECONDS = 15


class LogBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Writes a log as TFDS records, in the order of its users, in the single split `train`.

    An example has `user` (text), `item_ids` and `behavior_ids` (int32 `[length]`), `timestamps`
    (int64 `[length]`) and `held_out_item` (int32, 0 for none). `info.metadata` has the
    catalogue (`items`), the `behaviors` from weak to strong, the `target`, `repeats` and, if the
    log was cleaned, the `report`.

    Records are written shard by shard, so an event log need not fit into memory. With the
    `beam_runner` and `beam_options` of a `tfds.download.DownloadConfig`, an event log is prepared
    on Apache Beam. Subclasses implement `sources` and `read_log`, and set `HELD_OUT_ANYWHERE` if
    the official test items were taken from anywhere in the histories.

    Args:
        source: the raw archive or its directory; by default the manual directory of TFDS, then a
            download.
        **kwargs: as for every TFDS builder.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "See the README of the dataset."
    HELD_OUT_ANYWHERE: ClassVar[bool] = False

    def __init__(self, *, source: os.PathLike | str | None = None, **kwargs):
        self._source = source
        super().__init__(**kwargs)

    @classmethod
    @abc.abstractmethod
    def sources(cls, config_name: str | None) -> SourceFiles | None:
        """Returns the raw files of a configuration; None if it needs none."""

    @abc.abstractmethod
    def read_log(
        self, name: str, files: RawFiles | None
    ) -> InteractionDataset | OrderedLog | BeamLog:
        """Reads the whole log; one that is too large for memory is processed in `self.workspace`.

        Args:
            name: the name to give to the dataset.
            files: the files that `sources` describes, located.
        """

    def expected_counts(self) -> dict[str, int]:
        """Returns known counts of the official files: `users`, `items`, `events`, behaviours."""
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

    def _download_and_prepare(self, dl_manager, download_config=None):
        parent = pathlib.Path(self.data_path).parent
        parent.mkdir(parents=True, exist_ok=True)
        beam = None
        if download_config and download_config.beam_runner:
            beam = BeamPipelines(download_config.beam_runner, download_config.beam_options)
        with Workspace(parent, beam) as self.workspace:
            if beam:
                super()._download_and_prepare(dl_manager, download_config)
            else:
                self._write_shards(self._shard_iterators_per_split(dl_manager)["train"])
        if beam:
            self._mend_shard_lengths()

    def _write_shards(self, shards):
        """Writes the shards as TFDS does, in a sixth of the time."""
        template = self._get_filename_template(split_name="train")
        paths = [
            template.sharded_filepath(shard_index=number, num_shards=len(shards))
            for number in range(len(shards))
        ]
        lengths = [
            write_records(path, examples()) for path, examples in zip(paths, shards, strict=True)
        ]
        written = tfds.core.SplitInfo(
            name="train",
            shard_lengths=lengths,
            num_bytes=sum(path.stat().length for path in paths),
            filename_template=template,
        )
        self.info.set_splits(tfds.core.SplitDict([written]))

    def _shard_iterators_per_split(self, dl_manager):
        config = self.builder_config.name if self.builder_config else None
        name = f"{self.name}/{config}" if config else self.name
        files = self._find_files(self.sources(config), dl_manager)
        log = self.read_log(name, files)
        if self.workspace.beam and isinstance(log, InteractionDataset):
            raise InputError(f"{name} fits into memory; prepare it without Beam.")
        self._compare_counts(log)
        self.info.metadata.update(
            items=log.items.tolist(),
            behaviors=list(log.behaviors.names),
            target=log.behaviors.target,
            repeats=log.repeats,
            report=log.report.to_dict() if log.report else None,
        )
        return {"train": self._example_generators(log.shards())}

    def _example_generators(self, shards):
        if self.workspace.beam:  # sent to the workers, which have no builder
            return [functools.partial(_examples_of, read) for read in shards]
        return [
            functools.partial(self._examples, read, number, len(shards))
            for number, read in enumerate(shards)
        ]

    def _examples(self, read, number, of):
        self.workspace.progress("writing records", number, of)
        yield from _examples_of(read)

    def _mend_shard_lengths(self):
        """Orders the shard lengths: TFDS sorts the shard numbers of Beam as text, 0, 1, 10, 2."""
        split = self.info.splits["train"]
        path = pathlib.Path(f"{split.filename_template.filepath_prefix()}.shard_infos.json")
        written = {int(number): length for number, length in json.loads(path.read_text()).items()}
        lengths = [written[number] for number in sorted(written)]
        self.info.set_splits(tfds.core.SplitDict([split.replace(shard_lengths=lengths)]))
        path.unlink()

    def _find_files(self, sources, dl_manager):
        if sources is None:
            return None
        if self._source is not None:
            return sources.locate(self._source)
        try:
            return sources.locate(pathlib.Path(dl_manager.manual_dir))
        except (AssertionError, InputError):  # TFDS asserts that the directory exists
            if sources.url is None:
                raise InputError(f"{sources.title} is not downloaded: {sources.advice}.") from None
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


def _examples_of(read):
    log = read()
    for row, (start, end) in enumerate(itertools.pairwise(log.offsets)):
        user = str(log.users[row])
        yield (
            user,
            {
                "user": user,
                "item_ids": log.item_ids[start:end],
                "behavior_ids": log.behavior_ids[start:end],
                "timestamps": log.timestamps[start:end],
                "held_out_item": log.held_out_items[row],
            },
        )


def _check_reachable(sources):
    """Fails within seconds if there is no network; TFDS would retry for minutes."""
    try:
        requests.head(sources.url, timeout=_REACH_SECONDS)
    except requests.RequestException as error:
        raise InputError(
            f"{sources.url} cannot be downloaded ({error}); {sources.advice}."
        ) from error
