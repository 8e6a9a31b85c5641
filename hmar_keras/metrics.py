"""Ranking metrics with a stated tie rule, and the accuracy of the behaviour head.

Candidate 0 is the positive. Its rank is the number of other candidates that score at least as
high: ties count against the model, so a constant scorer scores 0. A positive whose score is NaN or
infinite ranks last, and any other candidate whose score is NaN or infinite ranks above the
positive: a broken score is never a hit.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hmar_keras.masks import event_weights


def positive_rank(scores):
    """Returns the pessimistic rank of candidate 0.

    Args:
        scores: float `[..., candidates]`.

    Returns:
        int32 `[...]`, from 0 (best) to `candidates - 1`.
    """
    scores = ops.cast(scores, "float32")
    positive, others = scores[..., :1], scores[..., 1:]
    # A comparison with NaN is false, so "not below" also catches a NaN on either side.
    below = ops.logical_and(ops.less(others, positive), ops.isfinite(others))
    below = ops.logical_and(below, ops.isfinite(positive))
    return ops.sum(ops.cast(ops.logical_not(below), "int32"), axis=-1)


class _MeanOverEvents(keras.metrics.Mean):
    """Mean of `values` over the positions whose label, a behaviour id, is not padding."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds labels `[batch, steps]` and predictions `[batch, steps, ...]`."""
        y_true = ops.convert_to_tensor(y_true)
        weights = ops.reshape(event_weights(y_true, sample_weight), (-1,))
        # Flat, because Keras averages rows first, and events of longer batches would count less.
        values = ops.reshape(self.values(y_true, y_pred), (-1,))
        return super().update_state(values, sample_weight=weights)


class _RankingMetric(_MeanOverEvents):
    def __init__(self, k: int = 10, name: str | None = None, **kwargs: Any) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}.")
        super().__init__(name=name or f"{self.short_name}@{k}", **kwargs)
        self.k = k

    def values(self, y_true, y_pred):
        """Returns the metric of each position, `[batch, steps]`."""
        rank = positive_rank(y_pred)
        return ops.where(ops.less(rank, self.k), self.gain(ops.cast(rank, "float32")), 0.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "k": self.k}


@keras.saving.register_keras_serializable(package="hmar_keras")
class HitRate(_RankingMetric):
    """HR@k: how often the positive is among the best k candidates.

    Args:
        k: length of the list.
        name: default `"hr@k"`.
        **kwargs: as in `keras.metrics.Metric`.

    `update_state` takes the next behaviours, int `[batch, steps]` with 0 for padding, and scores,
    float `[batch, steps, candidates]`, where candidate 0 is the positive.

    Example:

    >>> metric = HitRate(k=1)
    >>> metric.update_state([[1, 1]], [[[0.9, 0.1], [0.5, 0.5]]])
    >>> float(metric.result())
    0.5
    """

    short_name = "hr"

    def gain(self, rank):
        """Returns 1 for every rank in the list."""
        return ops.ones_like(rank)


@keras.saving.register_keras_serializable(package="hmar_keras")
class NDCG(_RankingMetric):
    """NDCG@k with one relevant item: 1 / log2(rank + 2) for ranks 0 to k - 1, else 0.

    Args:
        k: length of the list.
        name: default `"ndcg@k"`.
        **kwargs: as in `keras.metrics.Metric`.

    `update_state` takes the same arguments as that of `HitRate`.
    """

    short_name = "ndcg"

    def gain(self, rank):
        """Returns 1 / log2(rank + 2)."""
        return 1.0 / ops.log2(rank + 2.0)


@keras.saving.register_keras_serializable(package="hmar_keras")
class BehaviorAccuracy(_MeanOverEvents):
    """How often the behaviour with the highest logit is that of the next event.

    `update_state` takes the next behaviours, int `[batch, steps]` with 0 for padding, and logits,
    float `[batch, steps, K]`.
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def values(self, y_true, y_pred):
        """Returns 1 where the prediction is right, `[batch, steps]`."""
        guess = ops.cast(ops.argmax(y_pred, axis=-1), "int32") + 1
        return ops.cast(ops.equal(guess, ops.cast(y_true, "int32")), "float32")
