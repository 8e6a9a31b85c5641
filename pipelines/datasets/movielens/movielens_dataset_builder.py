"""TFDS builder for MovieLens ratings as behaviours."""

from __future__ import annotations

import numpy as np
import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.interaction_log import group_by_user
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.movielens.ratings import parse_ratings
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import CsrForm, TextForm

_SITE = "https://files.grouplens.org/datasets/movielens/"
_HOMEPAGE = "https://grouplens.org/datasets/movielens/"

_SOURCES = {
    "100k": SourceFiles("ml-100k.zip", ("u.data",), "ml-100k", _HOMEPAGE, _SITE + "ml-100k.zip"),
    "1m": SourceFiles("ml-1m.zip", ("ratings.dat",), "ml-1m", _HOMEPAGE, _SITE + "ml-1m.zip"),
    # No url: without a recorded checksum the file cannot be verified, so it is not downloaded.
    "10m": SourceFiles("ml-10m.zip", ("ratings.dat",), "ml-10M100K", _HOMEPAGE),
    "latest-small": SourceFiles(
        "ml-latest-small.zip",
        ("ratings.csv",),
        "ml-latest-small",
        _HOMEPAGE,
        _SITE + "ml-latest-small.zip",
    ),
}
_EXPECTED = {
    "100k": {"users": 943, "items": 1_682, "events": 100_000},
    "1m": {
        "users": 6_040,
        "items": 3_706,
        "dislike": 163_731,
        "neutral": 261_197,
        "like": 575_281,
    },
    "10m": {"users": 69_878, "items": 10_677, "events": 10_000_054},
    "latest-small": {"users": 610, "items": 9_724, "events": 100_836},
    "10m-csr": {"users": 67_788, "items": 8_704, "events": 9_922_036},
    "10m-text": {"users": 67_788, "items": 8_704, "events": 9_922_036},
}

# The paper's MovieLens: ratings from 10M prepared by others, with official test likes.
_PAPER_BEHAVIORS = Behaviors(("neg", "neutral", "pos"), target="pos")
_FORMS = {
    "10m-csr": CsrForm(
        _PAPER_BEHAVIORS,
        homepage="https://github.com/akaxlh/KHGT",
        folder="Datasets/MultiInt-ML10M",
        packed=("trn_neutral", "trn_pos"),
        expected=_EXPECTED["10m-csr"],
    ),
    "10m-text": TextForm(_PAPER_BEHAVIORS, "ml10mnew", _EXPECTED["10m-text"]),
}


class MovielensBehaviors(LogBuilder):
    """MovieLens ratings: up to 2 is a dislike, 4 or more a like, anything between neutral.

    The paper's forms, `10m-csr` and `10m-text`, name the behaviours `neg`, `neutral` and `pos`.
    Registered as `movielens_behaviors`, because TFDS already has a `movielens`.
    """

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=f"{counts['users']:,} users")
        for name, counts in _EXPECTED.items()
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "1m"
    BEHAVIORS = Behaviors(("dislike", "neutral", "like"), target="like")
    REPEATS = False

    @classmethod
    def sources(cls, config_name) -> SourceFiles:
        """Returns a configuration's official archive, or the loose files of the paper's forms."""
        return _FORMS[config_name].sources if config_name in _FORMS else _SOURCES[config_name]

    def read_log(self, name, files) -> InteractionDataset:
        """Reads the ratings; those with equal times stay in file order."""
        if self.builder_config.name in _FORMS:
            return _FORMS[self.builder_config.name].read(name, self.REPEATS, files)
        (file,) = files.entries
        ratings = parse_ratings(files.read(file), file, files.label(file))
        return group_by_user(
            name,
            self.BEHAVIORS,
            self.REPEATS,
            users=ratings["userId"],
            items=ratings["movieId"],
            behavior_ids=_behavior_ids(ratings["rating"]),
            timestamps=ratings["timestamp"],
        )

    def expected_counts(self):
        """Returns the counts of the official files."""
        return _EXPECTED[self.builder_config.name]


def _behavior_ids(ratings):
    return 1 + (ratings > 2).astype(np.int32) + (ratings >= 4).astype(np.int32)
