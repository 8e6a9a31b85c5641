"""Adam for models with large embedding tables."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import sizes_may_vary, take_rows


@keras.saving.register_keras_serializable(package="hmar_keras")
class Adam(keras.optimizers.Adam):
    """Adam as defined, also for embedding tables on TensorFlow.

    On TensorFlow, the gradient of a table has one row for every use of an item. Keras 3.15 squares
    these rows one by one, so the second moment of an item that occurs n times in a batch is up to n
    times too small, and its step up to sqrt(n) times too large. Other backends sum first, and so
    train differently. This class sums the rows of each item before anything else.

    Takes the arguments of `keras.optimizers.Adam`.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Updates a weight."""
        super().update_step(_summed(gradient, variable), variable, learning_rate)


def _summed(gradient, variable):
    """Returns the gradient of a whole weight, even if it comes as rows."""
    if not hasattr(gradient, "dense_shape"):
        return gradient
    return _sums(gradient.values, gradient.indices, variable.shape[0])


def _sums(values, places, count):
    """Sums the `values` `[n, dim]` of each of `count` places: `[count, dim]`.

    On TensorFlow on CPUs, a scatter takes half the time of `ops.segment_sum`; both add in order.
    """
    return ops.scatter(places[:, None], values, (count, values.shape[-1]))


def _is_table(variable):
    return variable.path.endswith("embeddings")


@keras.saving.register_keras_serializable(package="hmar_keras")
class LazyAdam(Adam):
    """Adam that reads and writes only those rows of an embedding table that have a gradient.

    Table rows are updated exactly as by Adam with `beta_1 = 0`, whose second moments decay in every
    step, whether or not a row is touched. The decay is computed only when a row is touched, from
    the number of steps since the last time. All other weights are updated by `Adam`. So the cost of
    a step depends on the batch and not on the size of the catalogue, and a table needs one moment
    instead of two.

    Rarely touched rows lose nothing: after each touch, Adam's momentum moves a row for many steps,
    in total about as far as this class does at once. If the moments rest while a row is not
    touched, as under similar names in other libraries, the row moves only a tenth as far. Rows that
    are in every batch lose the smoothing by the momentum.

    An embedding table is a weight named `embeddings`, as in `keras.layers.Embedding`.

    Args:
        *args: as in `keras.optimizers.Adam`, but without `amsgrad` and `weight_decay`, which move
            every row.
        **kwargs: as `*args`.

    Raises:
        ValueError: for `amsgrad` or `weight_decay`.

    Example:

    >>> model = keras.Sequential([keras.layers.Embedding(9, 2), keras.layers.Flatten()])
    >>> model.compile(LazyAdam(0.1), "mse")
    >>> before = model(ops.array([[1, 2]]))
    >>> _ = model.fit(ops.array([[1, 3]]), ops.ones((1, 4)), verbose=0)
    >>> after = model(ops.array([[1, 2]]))
    >>> ops.convert_to_numpy(before != after).tolist()
    [[True, True, False, False]]
    """

    def __init__(self, *args: Any, name: str = "lazy_adam", **kwargs: Any) -> None:
        super().__init__(*args, name=name, **kwargs)
        if self.amsgrad or self.weight_decay:
            raise ValueError(
                f"{type(self).__name__} does not support amsgrad and weight_decay, which move "
                "every row of a table; use keras.optimizers.Adam instead."
            )

    def build(self, variables):
        """Creates the moments; for a table, the second moment and the last step of each row."""
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self._velocities = [
            self.add_variable_from_reference(variable, "velocity") for variable in variables
        ]
        self._momentums, self._last_steps = [], []
        for variable in variables:
            table = _is_table(variable)
            momentum = None if table else self.add_variable_from_reference(variable, "momentum")
            self._momentums.append(momentum)
            # Not integers, because TensorFlow cannot write single rows of those on a GPU.
            self._last_steps.append(self._add_last_step(variable) if table else None)

    def _add_last_step(self, table):
        """Creates one number per row: the last step that touched it."""
        name = f"{table.path.replace('/', '_')}_last_step"
        layout = getattr(table, "_layout", None)
        return self.add_variable((table.shape[0], 1), "zeros", "float32", name=name, layout=layout)

    def update_step(self, gradient, variable, learning_rate):
        """Updates a weight, or the touched rows of a table."""
        index = self._get_variable_index(variable)
        if self._last_steps[index] is None:
            super().update_step(gradient, variable, learning_rate)
        elif hasattr(gradient, "dense_shape") and sizes_may_vary(gradient.values):
            self._update_rows(gradient, variable, learning_rate, index)
        else:
            self._update_table(gradient, variable, learning_rate, index)

    def _update_rows(self, gradient, variable, learning_rate, index):
        """Updates the rows of a TensorFlow gradient that comes as rows (an `IndexedSlices`).

        Works without importing TensorFlow: variables and gradients have the methods needed.
        """
        rows, places = ops.unique(gradient.indices, sorted=False, return_inverse=True)
        sums = _sums(gradient.values, places, ops.shape(rows)[0])
        weights = (variable, self._velocities[index].value, self._last_steps[index].value)
        old = [take_rows(weight, rows) for weight in weights]
        for weight, value in zip(weights, self._moved(sums, *old, learning_rate), strict=True):
            self.assign(weight, type(gradient)(value, rows))

    def _update_table(self, gradient, variable, learning_rate, index):
        weights = (variable, self._velocities[index], self._last_steps[index])
        old = [ops.convert_to_tensor(weight) for weight in weights]
        gradient = _summed(gradient, variable)
        for weight, value in zip(weights, self._moved(gradient, *old, learning_rate), strict=True):
            self.assign(weight, value)

    def _moved(self, gradient, variable, velocity, last_step, learning_rate):
        """Returns the new rows `[rows, dim]`, their second moments and their last step."""
        gradient, beta_2 = ops.cast(gradient, "float32"), ops.cast(self.beta_2, "float32")
        step = ops.cast(self.iterations + 1, "float32")
        velocity = velocity * ops.power(beta_2, step - last_step)
        velocity = velocity + ops.square(gradient) * (1 - beta_2)
        rate = ops.cast(learning_rate, "float32") * ops.sqrt(1 - ops.power(beta_2, step))
        new = variable - rate * gradient / (ops.sqrt(velocity) + self.epsilon)
        return new, velocity, ops.zeros_like(last_step) + step
