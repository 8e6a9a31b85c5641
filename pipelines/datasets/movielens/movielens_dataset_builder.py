"""MovieLens ratings as the behaviours dislike, neutral and like."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_log import InteractionLog
from pipelines.datasets.log_builder import LogBuilder, manual_folder
from pipelines.datasets.source_files import SourceFiles
from pipelines.errors import InputError

_URL = "https://files.grouplens.org/datasets/movielens/"
_COLUMNS = ("user", "item", "rating", "time")


@dataclasses.dataclass
class MovielensConfig(tfds.core.BuilderConfig):
    """One of the published sizes.

    Args:
        archive: name of the zip.
        ratings: name of the file of ratings in it.
        delimiter: between the columns of that file.
        header: its first line, if it has one.
        has_checksum: whether the archive's checksum is on record, so that it may be downloaded.
    """

    archive: str = ""
    ratings: str = "ratings.dat"
    delimiter: str = "::"
    header: str | None = None
    has_checksum: bool = True


class MovielensBehaviors(LogBuilder):
    """MovieLens; the name leaves `movielens` to the dataset that TFDS itself has."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put the official archive (ml-100k.zip, ml-1m.zip, ml-10m.zip or ml-latest-small.zip) or "
        "its unpacked file of ratings into the directory."
    )
    BUILDER_CONFIGS = [
        MovielensConfig(
            name="100k", archive="ml-100k.zip", ratings="u.data", delimiter="\t",
            description="100,000 ratings",
        ),
        MovielensConfig(name="1m", archive="ml-1m.zip", description="1 million ratings"),
        MovielensConfig(
            name="10m", archive="ml-10m.zip", has_checksum=False, description="10 million ratings"
        ),
        MovielensConfig(
            name="latest-small", archive="ml-latest-small.zip", ratings="ratings.csv",
            delimiter=",", header="userId,movieId,rating,timestamp",
            description="about 100,000 recent ratings",
        ),
    ]  # fmt: skip
    DEFAULT_BUILDER_CONFIG_NAME = "1m"
    BEHAVIORS = Behaviors(("dislike", "neutral", "like"), "like")
    REPEATS = False
    EXPECTED_EVENTS = {"100k": 100_000, "1m": 1_000_209, "10m": 10_000_054}

    @classmethod
    def source_files(cls, folder, config_name):
        """The archive or the file of ratings."""
        config = cls.builder_configs[config_name]
        found = SourceFiles(folder, config.archive).find(config.ratings)
        return [found] if found else []

    def read_log(self, dl_manager):
        """Reads the ratings straight out of the archive; file order breaks ties in time."""
        config = self.builder_config
        folder = manual_folder(dl_manager)
        if folder is not None:
            source = SourceFiles(folder, config.archive)
        elif not config.has_checksum:
            raise InputError(
                f"{config.archive} is not downloaded because its checksum is not on record; get "
                f"it from {_URL}{config.archive} and name its directory with --data-dir."
            )
        else:
            downloaded = Path(dl_manager.download(_URL + config.archive))
            source = SourceFiles(downloaded.parent, downloaded.name)
        return _log_of_ratings(source.read(config.ratings), config)


def _log_of_ratings(content, config):
    users, items, ratings, times = _parse(content, config)
    behaviors = np.where(ratings <= 2, 1, np.where(ratings < 4, 2, 3))
    return InteractionLog.from_columns(config.ratings, users, items, behaviors, times, 3)


def _parse(content, config):
    """The four columns of a ratings file as arrays."""
    name = f"{config.ratings} of {config.archive}"
    if config.header is not None:
        first = content.split(b"\n", 1)[0].decode("latin-1").strip()
        if first != config.header:
            raise InputError(
                f"{name} has the columns {first!r} and not {config.header!r}; get the official "
                "file."
            )
    if not content.strip():
        raise InputError(f"{name} is empty; get the official file.")
    if len(config.delimiter) > 1:  # the parser takes one character
        content = content.replace(config.delimiter.encode(), b"\t")
    delimiter = config.delimiter if len(config.delimiter) == 1 else "\t"
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(content),
            read_options=pyarrow.csv.ReadOptions(
                column_names=_COLUMNS, skip_rows=0 if config.header is None else 1
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={
                    **{"user": pa.int64(), "item": pa.int64()},
                    **{"rating": pa.float64(), "time": pa.int64()},
                }
            ),
        )
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{name} is not a file of user, item, rating and time ({reason}); get the official "
            "file."
        ) from error
    columns = [table.column(column) for column in _COLUMNS]
    if any(column.null_count for column in columns):
        raise InputError(f"{name} has empty fields; get the official file.")
    arrays = [column.to_numpy() for column in columns]
    if not np.all((arrays[2] >= 0) & (arrays[2] <= 5)):
        raise InputError(f"{name} has ratings outside 0 to 5; get the official file.")
    return arrays
