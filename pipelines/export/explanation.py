"""Explains the answers of an exported model: what it counts and attends to, and its reasons."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from hmar_keras.inspection import attending_layers, counts_behaviors, recorded_attention
from hmar_keras.layers import BehaviorEncoder, HistoricalBehaviorIndicators
from hmar_keras.models import SequentialRecommender
from hmar_keras.reasons import KINDS, reasons
from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS

_POPULARITY = KINDS.index("popularity")  # the kinds before it name an event


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


def reason_outputs(
    model: SequentialRecommender, features: Mapping[str, tf.Tensor], candidate_ids: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Returns what speaks most for each candidate, as tensors to be traced.

    Args:
        model: a model with a memory.
        features: by name, `item_ids`, `behavior_ids` and whatever else the model reads.
        candidate_ids: int32 [batch, candidates], 0 for unknown ones.

    Returns:
        `kinds`, strings [batch, candidates], "" for unknown candidates; `item_ids`,
        `behavior_ids`, int32 [batch, candidates], of the event that speaks for the candidate, 0 for
        none; `ago`, int32 [batch, candidates], how many events are newer than that one, -1 for
        none; `shares`, see `Reasons`; `counts`, int32 [batch, candidates, K], how often each
        behaviour was applied to the candidate.
    """
    item_ids, behavior_ids = features[ITEM_IDS], features[BEHAVIOR_IDS]
    found = reasons(model, features, candidate_ids)
    # Without a history, `recommend` ranks by popularity.
    asked = tf.where(tf.reduce_any(item_ids > 0, axis=1)[:, None], found.kinds, _POPULARITY)
    known = candidate_ids > 0
    named = known & (asked < _POPULARITY)
    events = tf.maximum(found.events, 0)
    layer = HistoricalBehaviorIndicators(model.config.num_behaviors)
    counts = layer(item_ids, behavior_ids, candidate_ids[:, None])[:, 0]
    return {
        "kinds": tf.where(known, tf.gather(tf.constant(KINDS), asked), ""),
        "item_ids": tf.where(named, tf.gather(item_ids, events, batch_dims=1), 0),
        "behavior_ids": tf.where(named, tf.gather(behavior_ids, events, batch_dims=1), 0),
        "ago": tf.where(named, tf.shape(item_ids)[1] - 1 - events, -1),
        "shares": tf.where(named, found.shares, 0.0),
        "counts": tf.where(known[..., None], tf.cast(counts, tf.int32), 0),
    }
