"""Models that can be exported without training."""

import keras
import numpy as np

from pipelines.protocol.splits import split
from pipelines.training.fit import prepare
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


def memory_model(log, model="hmar"):
    """Builds a model with a memory of the log; touched items come first, and all parts count."""
    keras.utils.set_random_seed(0)
    memory = {"memory": True, "loss": "sampled_softmax", "shared_negatives": True}
    shape = {"dim": 8, "max_length": 6}
    config = RunConfig.of(log.num_items, log.behaviors, model=model, **shape, **memory)
    built = config.build_model()
    prepare(built, split(log))
    built.memory.by_set.assign_add(np.full(built.memory.by_set.shape, 1.0))
    built.memory.gate.assign(1.0)
    built.memory.others.assign(np.full((2, 3), 0.05))
    return built
