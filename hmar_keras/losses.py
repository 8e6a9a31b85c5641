"""The losses of Eq. 15 and 17. Eq. 18 is their sum under Keras's `loss_weights`.

Both take the behaviour of the next event as the truth: `[batch, steps]`, ids from 1, and 0 where
there is nothing to predict. Both are means over the positions that are not 0 of a batch, so that
padding neither counts nor dilutes.
"""

from __future__ import annotations

import keras
from keras import ops

from hmar_keras.masks import event_weights


class _LossOverEvents(keras.losses.Loss):
    """Mean of `call` over the positions whose truth is not padding."""

    def __init__(self, name, **kwargs):
        kwargs.setdefault("reduction", "mean_with_sample_weight")
        super().__init__(name=name, **kwargs)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Leaves padding out of the mean. `sample_weight` may be `[batch]` or `[batch, steps]`."""
        y_true = ops.convert_to_tensor(y_true)
        weights = event_weights(y_true, sample_weight)
        return super().__call__(y_true, y_pred, sample_weight=weights)


def _one_hot_behaviors(y_true, num_behaviors):
    # The column of padding is cut off.
    return ops.one_hot(ops.cast(y_true, "int32"), num_behaviors + 1, dtype="float32")[..., 1:]


@keras.saving.register_keras_serializable(package="hmar_keras")
class WeightedRankingLoss(_LossOverEvents):
    """-(alpha_b log y+ + beta log(1 - y-)), y = sigmoid(score), of Eq. 15.

    With several negatives their terms are averaged, so that beta means the same for any number.

    Args:
        alpha: the weight of each behaviour's positives, in the order of the behaviour ids.
        beta: the weight of the negatives.
        name: name of the loss.
        **kwargs: as in `keras.losses.Loss`.

    Call arguments:
        y_true: int `[batch, steps]`, behaviour ids of the next events, 0 for padding.
        y_pred: float `[batch, steps, 1 + negatives]`, logits; candidate 0 is the next item.

    Example:

    >>> loss = WeightedRankingLoss(alpha=[0.1, 0.7], beta=1.0)
    >>> value = loss([[0, 2]], [[[9.0, 9.0], [0.0, 0.0]]])  # 1.7 log 2; padding does not count
    >>> round(float(value), 4)
    1.1784
    """

    def __init__(self, alpha, beta=1.0, name="weighted_ranking_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.alpha = [float(weight) for weight in alpha]
        self.beta = float(beta)

    def call(self, y_true, y_pred):
        """The loss of every position, `[batch, steps]`."""
        alpha = ops.convert_to_tensor(self.alpha, "float32")
        alpha = ops.matmul(_one_hot_behaviors(y_true, len(self.alpha)), alpha)
        y_pred = ops.cast(y_pred, "float32")
        positive = alpha * ops.softplus(-y_pred[..., 0])
        return positive + self.beta * ops.mean(ops.softplus(y_pred[..., 1:]), axis=-1)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}


@keras.saving.register_keras_serializable(package="hmar_keras")
class BehaviorLoss(_LossOverEvents):
    """Cross-entropy of the next event's behaviour, Eq. 17.

    Args:
        name: name of the loss.
        **kwargs: as in `keras.losses.Loss`.

    Call arguments:
        y_true: int `[batch, steps]`, behaviour ids of the next events, 0 for padding.
        y_pred: float `[batch, steps, K]`, logits.
    """

    def __init__(self, name="behavior_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """The loss of every position, `[batch, steps]`."""
        y_pred = ops.cast(y_pred, "float32")
        truth = _one_hot_behaviors(y_true, y_pred.shape[-1])
        return -ops.sum(truth * ops.log_softmax(y_pred, axis=-1), axis=-1)
