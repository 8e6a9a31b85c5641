"""Attention masks. In all masks of this package, True means "counts" or "may be attended to".

Masks over positions are `[batch, length]`, attention masks `[batch, query, key]`.
"""

from __future__ import annotations

from keras import ops

from hmar_keras.schema import PADDING_ID


def event_mask(ids):
    """Returns True where `ids` `[batch, length]` hold an event and not padding."""
    return ops.not_equal(ids, PADDING_ID)


def causal_mask(length):
    """Returns True where the key is not later than the query: `[length, length]`."""
    positions = ops.arange(length)
    return ops.greater_equal(positions[:, None], positions[None, :])


def history_mask(ids):
    """Returns a causal mask that excludes padding: `[batch, length]` to `[batch, query, key]`."""
    causal = causal_mask(ops.shape(ids)[1])
    return ops.logical_and(causal[None], event_mask(ids)[:, None, :])


def same_behavior_mask(behavior_ids):
    """Returns a causal mask for events of the query's behaviour (M_b of Eq. 5, all b at once).

    Args:
        behavior_ids: int `[batch, length]`, 0 for padding.

    Returns:
        bool `[batch, query, key]`; the rows of padded queries are all False.
    """
    # Padding never matches. Two passes over all pairs, because each is expensive.
    keys = ops.where(event_mask(behavior_ids), behavior_ids, -1)
    same = ops.equal(behavior_ids[:, :, None], keys[:, None, :])
    return ops.logical_and(same, causal_mask(ops.shape(behavior_ids)[1])[None])


def event_weights(ids, sample_weight=None):
    """Returns the weights of positions in a mean over events: 0 at padding.

    Args:
        ids: `[batch, steps]`, 0 for padding; any numeric type.
        sample_weight: None for 1, or `[batch]` or `[batch, steps]`.

    Returns:
        float32 `[batch, steps]`.
    """
    weights = ops.cast(event_mask(ids), "float32")
    if sample_weight is None:
        return weights
    sample_weight = ops.cast(sample_weight, "float32")
    if len(sample_weight.shape) == 1:
        sample_weight = sample_weight[:, None]
    return weights * sample_weight
