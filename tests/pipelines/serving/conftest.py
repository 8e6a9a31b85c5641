"""Small exported models, and servers for them."""

import shutil

import pytest

from pipelines.export import export
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.serving.served_model import ServedModel
from pipelines.serving.server import Server

from ..exports import random_model


def _export(log, directory, seed, model="hmar"):
    popularity = item_popularity(split(log))
    return export(random_model(log, seed, model), log.items, popularity, directory, {"seed": seed})


@pytest.fixture(scope="session")
def exports(log, tmp_path_factory):
    """Returns the directories of two versions of one model that answer differently."""
    directory = tmp_path_factory.mktemp("exports")
    return [_export(log, directory / "shop", seed) for seed in (1, 2)]


@pytest.fixture(scope="session")
def without_behaviors(log, tmp_path_factory):
    """Returns the directory of a model without a behaviour head."""
    return _export(log, tmp_path_factory.mktemp("exports") / "sasrec", 3, "sasrec").parent


@pytest.fixture(scope="session")
def put():
    """Returns a function that copies an export into a model's directory and renames it last."""

    def copy(export, directory, number):
        directory.mkdir(exist_ok=True)
        part = shutil.copytree(export, directory / f".part-{number}")
        return part.rename(directory / str(number))

    return copy


@pytest.fixture(scope="module")
def server(exports):
    """Runs a server of both versions; the first has the label `stable`."""
    model = ServedModel(exports[0].parent, "shop", {"stable": 1})
    with Server(model, port=0, rest_port=0, threads=4) as server:
        yield server
