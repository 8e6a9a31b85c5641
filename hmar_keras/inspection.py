"""Attention weights, recomputed from the layers' weights because the layers do not return them.

Works on models that are called eagerly and on models that are traced into a graph.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from hmar_keras.layers import BehaviorEncoder, HistoricalBehaviorIndicators, SequenceEncoder
from hmar_keras.layers.self_attention import SelfAttention
from hmar_keras.models import SequentialRecommender

_FLOOR = -1e30  # the score of a masked key


@dataclasses.dataclass(frozen=True)
class AttentionCall:
    """One call of a `SelfAttention` layer; its arguments and result are tensors.

    Args:
        layer: the layer.
        inputs: float [batch, length, dim].
        mask: bool [batch, query, key].
        behavior_ids: int [batch, length], or None.
        outputs: float [batch, length, dim], what the layer returned.
    """

    layer: SelfAttention
    inputs: Any
    mask: Any
    behavior_ids: Any
    outputs: Any

    def weights(self):
        """Returns softmax(Q K^T / sqrt(d)) under the mask: float32 [batch, heads, query, key].

        The weights of a query that may attend to nothing are zero.
        """
        query, key, _ = self.projections()
        scores = ops.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
        mask = self.mask[:, None]
        weights = ops.softmax(ops.where(mask, scores, _FLOOR), axis=-1)
        return ops.where(mask, weights, 0.0)

    def newest(self):
        """Returns the newest events' weights, averaged over the heads: float32 [batch, length].

        With one set of projections per behaviour, the newest event of each behaviour attends to the
        events of that behaviour; otherwise there is one newest event, the last.
        """
        weights = ops.mean(self.weights(), axis=1)  # [batch, query, key]
        if self.behavior_ids is None:
            return weights[:, -1]
        ids = self.behavior_ids
        later = ops.triu(ops.equal(ids[:, :, None], ids[:, None, :]), k=1)
        is_newest = ops.logical_not(ops.any(later, axis=2))
        return ops.sum(ops.where(is_newest[:, :, None], weights, 0.0), axis=1)

    def projections(self):
        """Returns Q, K and V, `[batch, length, heads, dim / heads]` each."""
        extra = () if self.behavior_ids is None else (self.behavior_ids,)
        projected = ops.cast(self.layer.query_key_value(self.inputs, *extra), "float32")
        batch, length, dim = ops.shape(self.inputs)
        shape = (batch, length, self.layer.num_heads, dim // self.layer.num_heads)
        return tuple(ops.reshape(part, shape) for part in ops.split(projected, 3, axis=-1))


def attending_layers(model: SequentialRecommender) -> list[BehaviorEncoder | SequenceEncoder]:
    """Returns the encoders of a model whose `attention` is a `SelfAttention`, in order."""
    encoders = (BehaviorEncoder, SequenceEncoder)
    layers = [layer for layer in layers_in_order(model) if isinstance(layer, encoders)]
    return [layer for layer in layers if isinstance(layer.attention, SelfAttention)]


def layers_in_order(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yields a layer and all layers inside it, those of a model in the order of its graph."""
    yield layer
    for inner in getattr(layer, "layers", None) or layer._layers:
        yield from layers_in_order(inner)


def counts_behaviors(model: SequentialRecommender) -> bool:
    """Returns whether a model has historical behaviour indicators and uses them."""
    layers = layers_in_order(model)
    return any(isinstance(each, HistoricalBehaviorIndicators) and each.enabled for each in layers)


@contextlib.contextmanager
def recorded_attention(layers: list[SelfAttention]) -> Iterator[dict[str, AttentionCall]]:
    """Records the calls of some layers inside the block.

    Args:
        layers: the layers to record.

    Yields:
        a dict of calls by the layers' paths, in the order of the calls, filled as they happen.
    """
    calls: dict[str, AttentionCall] = {}
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
        calls[layer.path] = AttentionCall(layer, inputs, mask, behavior_ids, outputs)
        return outputs

    return listen
