"""Historical behaviour indicators: how often was what done to this item before (Fig. 1)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.masks import event_mask


@keras.saving.register_keras_serializable(package="hmar_keras")
class HistoricalBehaviorIndicators(keras.layers.Layer):
    """Counts, per behaviour, the events on an item so far; computed from ids alone, causally.

    The indicator of position t counts the user's events on that item up to and including t. The
    indicator of a candidate for t + 1 counts the events on the candidate up to t, so that it
    never contains the event it is to help predict. The layer has no weights and its output is
    float32 under every dtype policy: counts must stay exact.

    Args:
        num_behaviors: number of behaviours K; behaviour ids run from 1 to K.
        enabled: False leaves every count 0: a model without indicators.

    Call arguments:
        item_ids: int `[batch, length]`, 0 for padding.
        behavior_ids: int `[batch, length]`, 0 for padding.
        candidate_ids: optional int `[batch, steps, candidates]`; the steps are the last `steps`
            positions of the history, and candidates of a step may follow directly after it.

    Returns:
        float32 `[batch, length, K]`, or `[batch, steps, candidates, K]` for candidates. Padding
        has only zeros.

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
        # Above 256 bfloat16 does not hold every integer, so the policy is not the model's.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if num_behaviors < 1:
            raise ValueError(f"num_behaviors must be at least 1, got {num_behaviors}.")
        self.num_behaviors = num_behaviors
        self.enabled = enabled

    def call(self, item_ids, behavior_ids, candidate_ids=None):
        """Counts for the positions, or for candidates where they are given."""
        if not self.enabled:
            asked = item_ids if candidate_ids is None else candidate_ids
            return ops.zeros((*ops.shape(asked), self.num_behaviors), "float32")
        # One-hot of 0, padding, is the first column and is cut off.
        one_hot = ops.one_hot(behavior_ids, self.num_behaviors + 1, dtype="float32")[..., 1:]
        length = ops.shape(item_ids)[1]
        if candidate_ids is None:
            candidates = item_ids[:, :, None]
        else:
            candidates = ops.cast(candidate_ids, item_ids.dtype)
        batch, steps, width = ops.shape(candidates)
        past = ops.arange(length)[None, :] <= ops.arange(length - steps, length)[:, None]
        # Padding is the same as nothing. Every pass over all pairs costs, so there are but two.
        candidates = ops.where(event_mask(candidates), candidates, -1)
        same = ops.equal(candidates[..., None], item_ids[:, None, None, :])
        same = ops.logical_and(same, past[None, :, None, :])
        same = ops.reshape(ops.cast(same, "float32"), (batch, steps * width, length))
        counts = ops.matmul(same, one_hot)
        if candidate_ids is None:
            return ops.reshape(counts, (batch, steps, self.num_behaviors))
        return ops.reshape(counts, (batch, steps, width, self.num_behaviors))

    def compute_output_shape(self, item_ids_shape, behavior_ids_shape, candidate_ids_shape=None):
        """`[batch, length, K]` or `[batch, steps, candidates, K]`."""
        return (*(candidate_ids_shape or item_ids_shape), self.num_behaviors)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_behaviors": self.num_behaviors,
            "enabled": self.enabled,
        }
