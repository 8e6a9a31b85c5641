"""A dense layer with separate weights for each behaviour."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import behavior_groups


@keras.saving.register_keras_serializable(package="hmar_keras")
class BehaviorDense(keras.layers.Layer):
    """y_t = x_t W^b + B^b with b the behaviour of position t.

    Equals K dense layers, each applied to the positions of its behaviour; for the computation see
    `kernels.behavior_groups`. Padding (behaviour 0) yields the activation of zero.

    Args:
        num_behaviors: number of behaviours K.
        units: output width.
        activation: as in `keras.layers.Dense`.
        use_bias: whether to add B^b.
        kernel_initializer: draws the kernel `[dim, units]` of each behaviour separately.

    Call arguments:
        inputs: float `[batch, length, dim]`.
        behavior_ids: int `[batch, length]`, from 1; 0 for padding.

    Returns:
        float `[batch, length, units]`.
    """

    def __init__(
        self,
        num_behaviors: int,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_behaviors = num_behaviors
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape, behavior_ids_shape=None):
        """Creates the kernels `[K, dim, units]` and biases `[K, units]`."""
        dim = inputs_shape[-1]

        def one_by_one(shape, dtype):
            # One draw per behaviour, because fan-in and fan-out must not include K.
            clones = [self.kernel_initializer.clone() for _ in range(shape[0])]
            return ops.stack([draw(shape[1:], dtype) for draw in clones])

        self.kernel = self.add_weight(
            shape=(self.num_behaviors, dim, self.units), initializer=one_by_one, name="kernel"
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.num_behaviors, self.units), initializer="zeros", name="bias"
            )

    def call(self, inputs, behavior_ids):
        """Applies the weights of its behaviour to each position."""
        groups = behavior_groups(inputs, behavior_ids)
        return groups.positions(self.apply_to_rows(groups.rows(inputs), groups))

    def apply_to_rows(self, rows, groups):
        """Applies the layer to rows that are already grouped by `kernels.behavior_groups`.

        Args:
            rows: float `[rows, dim]`, as returned by `groups.rows`.
            groups: the groups of the behaviour ids.

        Returns:
            float `[rows, units]`.
        """
        weights = (self.kernel, self.bias) if self.use_bias else (self.kernel,)
        weights = [ops.reshape(w, w.shape) for w in weights]  # the values of variables
        return self.activation(groups.matmul(rows, *weights))

    def compute_output_shape(self, inputs_shape, behavior_ids_shape=None):
        """Returns `[batch, length, units]`."""
        return (*inputs_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_behaviors": self.num_behaviors,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
