"""TensorFlow's register of gradients, which holds every graph that was trained in a process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

_PREFIX = "CustomGradient-"


@contextlib.contextmanager
def gradients_forgotten() -> Iterator[None]:
    """Afterwards TensorFlow does not hold what was traced within the block.

    TensorFlow 2.21 registers a gradient for each use of a custom gradient that it traces, and
    never takes one out. A gradient holds tensors, and they the whole graph: some 50 MiB for each
    model that is trained. The register is asked while gradients are traced and not when they are
    computed, so that a training step, once traced, goes on working; only the gradient of a
    `tf.function` that was traced within the block cannot be taken anew. What other threads trace
    meanwhile counts as traced within.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.framework import ops

    register = ops.gradient_registry._registry
    before = set(register)
    try:
        yield
    finally:
        for name in set(register) - before:
            if name.startswith(_PREFIX):
                del register[name]
