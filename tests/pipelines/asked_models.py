"""Models for batch makers, without the time to build a graph."""

from hmar_keras.models import MODELS
from pipelines.training.examples import training_windows


def asked(config):
    """Returns the model of a `RunConfig` with only its settings, features and objective."""
    kind = MODELS[config.name]
    model = object.__new__(kind)
    vars(model)["config"] = config.model
    return model


def data_of(way, splits, config, seed=0, **more):
    """Returns training batches made by `way`, `TrainingData` or `DeviceBatches`."""
    return way(splits, asked(config), config.training, seed, **more)


def windows_of(splits, config):
    """Returns the training windows of a `RunConfig`'s model."""
    model = asked(config)
    return training_windows(splits, model.objective(), config.model.max_length)
