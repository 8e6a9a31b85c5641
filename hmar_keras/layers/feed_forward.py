"""The point-wise feed-forward network (Eq. 7 and 13)."""

from __future__ import annotations

from typing import Any

import keras

from hmar_keras.kernels import at_every_position, behavior_groups
from hmar_keras.layers.behavior_dense import BehaviorDense
from hmar_keras.layers.dropout import Dropout


@keras.saving.register_keras_serializable(package="hmar_keras")
class FeedForward(keras.layers.Layer):
    """FFN(x) = ReLU(x W_1 + B_1) W_2 + B_2 at every position, with the width of the input.

    Args:
        dropout: dropout rate after each of the two layers. The paper does not say where it applies
            dropout; the authors' release applies it here.
        residual: add the input to the output. The release does, the paper does not.
        num_behaviors: None for one network (Eq. 13); K for one network per behaviour (Eq. 7),
            where each position uses the network of its behaviour.
        seed: seed of the dropout.

    Call arguments:
        inputs: float `[batch, length, dim]`.
        behavior_ids: int `[batch, length]`, only with `num_behaviors`.

    Returns:
        float `[batch, length, dim]`.
    """

    def __init__(
        self,
        dropout: float = 0.0,
        residual: bool = False,
        num_behaviors: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.dropout = dropout
        self.residual = residual
        self.num_behaviors = num_behaviors
        self.seed = seed
        self.drop = Dropout(dropout, seed=seed, dtype=self.dtype_policy)

    def build(self, inputs_shape, behavior_ids_shape=None):
        """Creates the two dense layers, or K pairs of them."""
        self.hidden = self._dense(inputs_shape[-1], "relu", "hidden")
        self.output_dense = self._dense(inputs_shape[-1], None, "output")
        self.hidden.build(inputs_shape)
        self.output_dense.build(inputs_shape)

    def _dense(self, dim, activation, name):
        shared = {"activation": activation, "dtype": self.dtype_policy, "name": name}
        if self.num_behaviors is None:
            return keras.layers.Dense(dim, **shared)
        return BehaviorDense(self.num_behaviors, dim, **shared)

    def call(self, inputs, behavior_ids=None, training=None):
        """Applies the network."""
        if self.num_behaviors is None:

            def network(rows):
                hidden = self.drop(self.hidden(rows), training=training)
                return self.drop(self.output_dense(hidden), training=training)

            outputs = at_every_position(network, inputs)
        else:
            # Sorted by behaviour once, for both layers.
            groups = behavior_groups(inputs, behavior_ids)
            rows = self.hidden.apply_to_rows(groups.rows(inputs), groups)
            rows = self.output_dense.apply_to_rows(self.drop(rows, training=training), groups)
            outputs = groups.positions(self.drop(rows, training=training))
        return outputs + inputs if self.residual else outputs

    def compute_output_shape(self, inputs_shape, behavior_ids_shape=None):
        """Returns the shape of the input."""
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "residual": self.residual,
            "num_behaviors": self.num_behaviors,
            "seed": self.seed,
        }
