"""TensorFlow's gradient registry, which keeps every graph that a process trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

_PREFIX = "CustomGradient-"


@contextlib.contextmanager
def gradients_forgotten() -> Iterator[None]:
    """Releases, at the end of the block, what TensorFlow traced within it.

    TensorFlow 2.21 registers a gradient for each use of a custom gradient that it traces, and never
    removes one. A gradient holds tensors, and these hold the whole graph: some 50 MiB for each
    trained model. The registry is read while gradients are traced, not when they are computed, so a
    traced training step keeps working; only the gradient of a `tf.function` that was traced within
    the block cannot be taken again. Whatever other threads trace in the meantime is released, too.
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
