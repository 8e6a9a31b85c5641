"""The table of item embeddings."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="hmar_keras")
class ItemTable(keras.layers.Embedding):
    """As `keras.layers.Embedding`, but reads the rows that are asked for and no others.

    On TensorFlow `keras.layers.Embedding` reads the whole variable first, and that is a copy of
    it in every lookup once an optimiser, as `LazyAdam`, has written single rows.

    Takes what `keras.layers.Embedding` takes; always float32, so that no lookup casts the table.

    Call arguments:
        inputs: int `[...]`.

    Returns:
        float32 `[..., output_dim]`.
    """

    def __init__(self, input_dim, output_dim, **kwargs):
        super().__init__(input_dim, output_dim, **{**kwargs, "dtype": "float32"})

    def call(self, inputs):
        """Looks the rows up."""
        table = self.embeddings.value
        if hasattr(table, "sparse_read"):  # a TensorFlow variable
            return table.sparse_read(ops.convert_to_tensor(inputs))
        return ops.take(table, inputs, axis=0)
