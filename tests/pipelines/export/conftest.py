"""An export shared by the tests of this folder."""

import pytest

from pipelines.export import export
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity

from ..exports import random_model


@pytest.fixture(scope="module")
def model(log):
    """Returns a model with random weights."""
    return random_model(log)


@pytest.fixture(scope="module")
def version(model, log, tmp_path_factory):
    """Returns the directory of the model's export."""
    directory = tmp_path_factory.mktemp("models") / "shop"
    return export(model, log.items, item_popularity(split(log)), directory, {"dataset": "test_log"})
