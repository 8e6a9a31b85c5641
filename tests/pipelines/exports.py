"""Models that can be exported without training."""

import keras
import numpy as np

from pipelines.training.run_config import RunConfig


def random_model(log, seed=0, model="hmar"):
    """Builds a model with random non-zero weights."""
    keras.utils.set_random_seed(seed)
    config = RunConfig.of(log.num_items, log.behaviors, model=model, dim=8, max_length=6)
    built = config.build_model()
    rng = np.random.default_rng(seed)
    for weight in built.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape))
    return built
