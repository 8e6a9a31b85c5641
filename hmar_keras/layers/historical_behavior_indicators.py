"""Historical behaviour indicators: counts of past events by item and behaviour (Fig. 1)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.masks import event_mask


@keras.saving.register_keras_serializable(package="hmar_keras")
class HistoricalBehaviorIndicators(keras.layers.Layer):
    """Counts, per behaviour, the events on an item so far, causally and from ids alone.

    The indicator of position t counts the user's events on that item up to and including t. The
    indicator of a candidate for t + 1 counts the events on the candidate up to t, so it never
    contains the event to predict. The layer has no weights, and its output is float32 under every
    dtype policy, because counts must stay exact.

    Args:
        num_behaviors: number of behaviours K; behaviour ids run from 1 to K.
        enabled: if False, all counts are 0, for a model without indicators.

    Call arguments:
        item_ids: int `[batch, length]`, 0 for padding.
        behavior_ids: int `[batch, length]`, 0 for padding.
        candidate_ids: optional int `[batch, steps, candidates]`; the steps are the last `steps`
            positions of the history, and the candidates of a step may follow directly after it.

    Returns:
        float32 `[batch, length, K]`, or `[batch, steps, candidates, K]` for candidates;
        zero at padding.

    Example:

    >>> import numpy as np
    >>> layer = HistoricalBehaviorIndicators(num_behaviors=2)
    >>> items, behaviors = np.array([[7, 7, 5, 7]]), np.array([[1, 1, 1, 2]])
    >>> np.asarray(layer(items, behaviors))[0].tolist()
    [[1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [2.0, 1.0]]
    >>> np.asarray(layer(items, behaviors, np.array([[[7, 9]]])))[0, 0].tolist()
    [[2.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, num_behaviors: int, enabled: bool = True, **kwargs: Any) -> None:
        # Not the model's policy, because bfloat16 does not hold every integer above 256.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if num_behaviors < 1:
            raise ValueError(f"num_behaviors must be at least 1, got {num_behaviors}.")
        self.num_behaviors = num_behaviors
        self.enabled = enabled

    def call(self, item_ids, behavior_ids, candidate_ids=None):
        """Returns the counts of the positions, or of the candidates if they are given."""
        if not self.enabled:
            asked = item_ids if candidate_ids is None else candidate_ids
            return ops.zeros((*ops.shape(asked), self.num_behaviors), "float32")
        # The first column, that of padding, is cut off.
        one_hot = ops.one_hot(behavior_ids, self.num_behaviors + 1, dtype="float32")[..., 1:]
        length = ops.shape(item_ids)[1]
        if candidate_ids is None:
            candidates = item_ids[:, :, None]
        else:
            candidates = ops.cast(candidate_ids, item_ids.dtype)
        batch, steps, width = ops.shape(candidates)
        past = ops.arange(length)[None, :] <= ops.arange(length - steps, length)[:, None]
        # Padding never matches. Two passes over all pairs, because each is expensive.
        candidates = ops.where(event_mask(candidates), candidates, -1)
        same = ops.equal(candidates[..., None], item_ids[:, None, None, :])
        same = ops.logical_and(same, past[None, :, None, :])
        same = ops.reshape(ops.cast(same, "float32"), (batch, steps * width, length))
        counts = ops.matmul(same, one_hot)
        if candidate_ids is None:
            return ops.reshape(counts, (batch, steps, self.num_behaviors))
        return ops.reshape(counts, (batch, steps, width, self.num_behaviors))

    def compute_output_shape(self, item_ids_shape, behavior_ids_shape, candidate_ids_shape=None):
        """Returns `[batch, length, K]` or `[batch, steps, candidates, K]`."""
        return (*(candidate_ids_shape or item_ids_shape), self.num_behaviors)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_behaviors": self.num_behaviors,
            "enabled": self.enabled,
        }
