"""A dense layer with weights of its own for every behaviour."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import behavior_groups


@keras.saving.register_keras_serializable(package="hmar_keras")
class BehaviorDense(keras.layers.Layer):
    """y_t = x_t W^b + B^b with b the behaviour of position t.

    These are K dense layers, each applied to the positions of its own behaviour; see
    `kernels.behavior_groups` for how. Padding (behaviour 0) yields the activation of zero.

    Args:
        num_behaviors: number of behaviours K.
        units: output width.
        activation: as in `keras.layers.Dense`.
        use_bias: whether to add B^b.
        kernel_initializer: draws each behaviour's kernel `[dim, units]` on its own.

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
            # A fresh draw a behaviour: fan-in and fan-out must not see the K.
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
        """Applies to every position its own behaviour's weights."""
        groups = behavior_groups(inputs, behavior_ids)
        return groups.positions(self.apply_to_rows(groups.rows(inputs), groups))

    def apply_to_rows(self, rows, groups):
        """As `call`, of positions that are in the order of `kernels.behavior_groups` already.

        Args:
            rows: float `[rows, dim]`, as of `groups.rows`.
            groups: of the behaviours.

        Returns:
            float `[rows, units]`.
        """
        weights = (self.kernel, self.bias) if self.use_bias else (self.kernel,)
        weights = [ops.reshape(w, w.shape) for w in weights]  # of a variable its value
        return self.activation(groups.matmul(rows, *weights))

    def compute_output_shape(self, inputs_shape, behavior_ids_shape=None):
        """`[batch, length, units]`."""
        return (*inputs_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_behaviors": self.num_behaviors,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
