"""Fixtures for the tests of both batch makers."""

import pytest

from pipelines.training.host_batches import TrainingData


@pytest.fixture(params=["host", pytest.param("device", marks=pytest.mark.backends)])
def way(request):
    """Returns the class that makes the batches."""
    if request.param == "host":
        return TrainingData
    pytest.importorskip("jax")
    from pipelines.training.device_batches import DeviceBatches

    return DeviceBatches
