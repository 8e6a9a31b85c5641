"""What makers of batches look at of a model, without the time that its graph takes."""

from hmar_keras.models import MODELS
from pipelines.training.examples import training_windows


def asked(config):
    """The model of a `RunConfig` with settings, features and objective, and nothing else."""
    kind = MODELS[config.name]
    model = object.__new__(kind)
    vars(model)["config"] = config.model
    return model


def data_of(way, splits, config, seed=0, **more):
    """The batches of a training, made by `TrainingData` or `DeviceBatches`."""
    return way(splits, asked(config), config.training, seed, **more)


def windows_of(splits, config):
    """Its training windows."""
    model = asked(config)
    return training_windows(splits, model.objective(), config.model.max_length)
