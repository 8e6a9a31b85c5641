"""An export that the tests of this folder share."""

import pytest

from pipelines.baselines import item_popularity
from pipelines.export import export
from pipelines.splits import split

from ..exports import random_model


@pytest.fixture(scope="module")
def model(log):
    """With random weights."""
    return random_model(log)


@pytest.fixture(scope="module")
def version(model, log, tmp_path_factory):
    """The directory of its export."""
    directory = tmp_path_factory.mktemp("models") / "shop"
    return export(model, log.items, item_popularity(split(log)), directory, {"dataset": "test_log"})
