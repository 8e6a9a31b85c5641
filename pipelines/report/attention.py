"""Attention weights, which layers compute but do not give: rebuilt from the layers' own weights."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from hmar_keras.layers.self_attention import SelfAttention


@dataclasses.dataclass(frozen=True)
class AttentionCall:
    """One call of a `SelfAttention`.

    Args:
        layer: the layer.
        inputs: float [batch, length, dim].
        mask: bool [batch, query, key].
        behavior_ids: int [batch, length], or None.
        outputs: float [batch, length, dim], what the layer gave.
    """

    layer: SelfAttention
    inputs: np.ndarray
    mask: np.ndarray
    behavior_ids: np.ndarray | None
    outputs: np.ndarray

    def weights(self) -> np.ndarray:
        """softmax(Q K^T / sqrt(d)) under the mask: float32 [batch, heads, query, key].

        A query that may attend to nothing has zeros.
        """
        query, key, _ = self._projections()
        scores = np.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
        mask = self.mask[:, None]
        scores = np.where(mask, scores, -np.inf)
        highest = np.max(scores, axis=-1, keepdims=True)
        weights = np.exp(scores - np.where(np.isfinite(highest), highest, 0))
        return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-30)

    def attended(self) -> np.ndarray:
        """The weights times V, which must be the layer's outputs: [batch, length, dim]."""
        *_, value = self._projections()
        attended = np.einsum("bhqk,bkhd->bqhd", self.weights(), value)
        return attended.reshape(self.inputs.shape)

    def _projections(self):
        """Q, K and V, `[batch, length, heads, dim / heads]` each."""
        extra = () if self.behavior_ids is None else (ops.convert_to_tensor(self.behavior_ids),)
        projected = self.layer.query_key_value(ops.convert_to_tensor(self.inputs), *extra)
        batch, length, dim = self.inputs.shape
        shape = (batch, length, self.layer.num_heads, dim // self.layer.num_heads)
        parts = np.split(_array(projected).astype(np.float32), 3, axis=-1)
        return tuple(part.reshape(shape) for part in parts)


@contextlib.contextmanager
def recorded_attention(layers: list[SelfAttention]) -> Iterator[dict[str, AttentionCall]]:
    """Within the block a model that is called eagerly leaves behind how its layers were called.

    Args:
        layers: those to listen to.

    Yields:
        a dict by the layers' paths, in the order of the calls, filled as they happen.
    """
    calls = {}
    for layer in layers:
        layer.__dict__["call"] = _listener(layer, calls)
    try:
        yield calls
    finally:
        for layer in layers:
            del layer.__dict__["call"]


def _listener(layer, calls):
    call = layer.call

    def listen(inputs, mask, behavior_ids=None):
        outputs = call(inputs, mask, behavior_ids)
        ids = None if behavior_ids is None else _array(behavior_ids)
        arrays = (_array(inputs), _array(mask), ids, _array(outputs))
        calls[layer.path] = AttentionCall(layer, *arrays)
        return outputs

    return listen


def _array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))
