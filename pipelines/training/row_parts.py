"""A batch's rows in parts, which TensorFlow computes at once on the cores of a CPU."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


class RowParts:
    """Calls a function on parts of the rows, so that no part waits for another.

    One batch is a chain of operations, large and small. In a large one TensorFlow has every core
    work, and pays for it with threads that wait for each other; in a small one the other cores
    wait. Parts are chains of their own: with a part a core and a thread an operation (see
    `Hardware.prepare`) every core has something to do nearly all the time.

    Args:
        parts: how many.

    Call arguments:
        function: of a structure of tensors `[batch, ...]`, as a dict, to another one, no row of
            which depends on the other rows. Within a `tf.function` it is traced for every part
            anew; outside, where operations run one by one anyway, it gets the whole batch.
        inputs: that structure.

    Returns:
        what `function(inputs)` returns.
    """

    def __init__(self, parts: int):
        self._parts = parts

    def __call__(self, function: Callable, inputs: Any) -> Any:
        """Calls it."""
        if self._parts == 1 or tf.executing_eagerly():
            return function(inputs)
        rows = tf.shape(tf.nest.flatten(inputs)[0])[0]
        # Traced anew and not as one function for all: where functions have a state, as dropout's
        # random numbers, TensorFlow lets a call wait for the one before it.
        ends = [part * rows // self._parts for part in range(self._parts + 1)]
        outputs = [
            function(tf.nest.map_structure(lambda x, rows=slice(*part): x[rows], inputs))
            for part in itertools.pairwise(ends)
        ]
        return tf.nest.map_structure(lambda *pieces: tf.concat(pieces, axis=0), *outputs)
