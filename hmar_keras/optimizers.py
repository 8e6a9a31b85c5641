"""Adam for models with large embedding tables."""

from __future__ import annotations

import keras
from keras import ops

from hmar_keras.kernels import sizes_may_vary, take_rows


@keras.saving.register_keras_serializable(package="hmar_keras")
class Adam(keras.optimizers.Adam):
    """Adam as it is defined, also for embedding tables on TensorFlow.

    There the gradient of a table comes as one row for every use of an item. Keras 3.15 squares
    those rows one by one, so that the second moment of an item that occurs n times in a batch is
    up to n times too small, and its step up to sqrt(n) times too large; other backends, which sum
    first, train differently. Here the rows of an item are summed before anything else.

    Takes what `keras.optimizers.Adam` takes.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Updates a weight."""
        super().update_step(_summed(gradient, variable.shape[0]), variable, learning_rate)


def _summed(gradient, rows):
    """The gradient of a whole table, `[rows, dim]`."""
    if not hasattr(gradient, "dense_shape"):
        return gradient
    return _sums(gradient.values, gradient.indices, rows)


def _sums(values, places, count):
    """Sums of the `values` `[n, dim]` that belong to the same of `count` places: `[count, dim]`.

    On TensorFlow's CPUs a scatter takes half the time of `ops.segment_sum`; both add in order.
    """
    return ops.scatter(places[:, None], values, (count, values.shape[-1]))


@keras.saving.register_keras_serializable(package="hmar_keras")
class LazyAdam(Adam):
    """Adam, lazy in embedding tables: only rows with a gradient move, and only their moments decay.

    Given the same moments, a touched row moves exactly as under `Adam`. A row without a gradient
    stays as it is, where Adam would let its moments decay and move it by them. All other weights
    are Adam's. So a step costs what the batch touches, and not what the
    catalogue holds: Adam reads and writes three times the whole table in every step.

    An embedding table is a weight called `embeddings`, as `keras.layers.Embedding` has.

    Args:
        *args: as in `keras.optimizers.Adam`, but without `amsgrad` and `weight_decay`, which move
            every row.
        **kwargs: likewise.

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

    def __init__(self, *args, name="lazy_adam", **kwargs):
        super().__init__(*args, name=name, **kwargs)
        if self.amsgrad or self.weight_decay:
            raise ValueError(
                "LazyAdam has no amsgrad and no weight_decay, which move every row of a table; "
                "use keras.optimizers.Adam for them."
            )

    def build(self, variables):
        """Creates the moments, and notes which weights are tables."""
        if not self.built:
            self._is_table = [variable.path.endswith("embeddings") for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        """Updates a weight, or the touched rows of a table."""
        index = self._get_variable_index(variable)
        if not self._is_table[index]:
            super().update_step(gradient, variable, learning_rate)
        elif hasattr(gradient, "dense_shape") and sizes_may_vary(gradient.values):
            self._update_rows(gradient, variable, learning_rate, index)
        else:
            self._update_table(gradient, variable, learning_rate, index)

    def _update_rows(self, gradient, variable, learning_rate, index):
        """Of a TensorFlow gradient that comes as rows (an `IndexedSlices`): reads and writes those.

        Without TensorFlow's name: variables and gradients bring what is needed.
        """
        rows, places = ops.unique(gradient.indices, sorted=False, return_inverse=True)
        sums = _sums(gradient.values, places, ops.shape(rows)[0])
        weights = (variable, self._momentums[index].value, self._velocities[index].value)
        old = [take_rows(weight, rows) for weight in weights]
        for weight, value in zip(weights, self._moved(sums, *old, learning_rate), strict=True):
            self.assign(weight, type(gradient)(value, rows))

    def _update_table(self, gradient, variable, learning_rate, index):
        weights = (variable, self._momentums[index], self._velocities[index])
        old = [ops.convert_to_tensor(weight) for weight in weights]
        gradient = _summed(gradient, variable.shape[0])
        for weight, value in zip(weights, self._moved(gradient, *old, learning_rate), strict=True):
            self.assign(weight, value)

    def _moved(self, gradient, variable, momentum, velocity, learning_rate):
        """The new rows and their moments, `[rows, dim]` each; the old ones without a gradient."""
        dtype = variable.dtype
        gradient, rate = ops.cast(gradient, dtype), ops.cast(learning_rate, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        rate = rate * ops.sqrt(1 - ops.power(ops.cast(self.beta_2, dtype), step))
        rate = rate / (1 - ops.power(ops.cast(self.beta_1, dtype), step))
        touched = ops.any(ops.not_equal(gradient, 0), axis=-1, keepdims=True)
        new_momentum = momentum + (gradient - momentum) * (1 - self.beta_1)
        new_velocity = velocity + (ops.square(gradient) - velocity) * (1 - self.beta_2)
        new = variable - rate * new_momentum / (ops.sqrt(new_velocity) + self.epsilon)
        return (
            ops.where(touched, new, variable),
            ops.where(touched, new_momentum, momentum),
            ops.where(touched, new_velocity, velocity),
        )
