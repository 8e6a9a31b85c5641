"""Explains the answers of an exported model: what it counts, and what it attends to."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from hmar_keras.inspection import attending_layers, counts_behaviors, recorded_attention
from hmar_keras.layers import BehaviorEncoder, HistoricalBehaviorIndicators
from hmar_keras.models import SequentialRecommender
from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS


def explanation(
    model: SequentialRecommender, features: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Returns a model's indicators and attention for histories, as tensors to be traced.

    Args:
        model: the model.
        features: by name, `item_ids`, `behavior_ids` and whatever else the model reads.

    Returns:
        `indicators`, float32 [batch, length, K], for every event the counts on its item so far, if
        the model counts behaviours. `behavior_attention` and `sequence_attention`, float32
        [batch, length], from the first block of each kind in the model, see `AttentionCall.newest`.
    """
    told = {}
    if counts_behaviors(model):
        layer = HistoricalBehaviorIndicators(model.config.num_behaviors)
        told["indicators"] = layer(features[ITEM_IDS], features[BEHAVIOR_IDS])
    owners = attending_layers(model)
    with recorded_attention([owner.attention for owner in owners]) as calls:
        model.score_candidates(features, features[ITEM_IDS][:, -1:])  # any candidates work
    for owner in owners:
        by_behavior = isinstance(owner, BehaviorEncoder)
        name = "behavior_attention" if by_behavior else "sequence_attention"
        if name not in told:
            told[name] = calls[owner.attention.path].newest()
    return told
