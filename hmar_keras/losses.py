"""The losses of Eq. 15 and 17, and alternatives for the ranking. Eq. 18 is their weighted sum.

The labels are the behaviours of the next events: `[batch, steps]`, ids from 1, and 0 where there is
nothing to predict. Every loss is the mean over the positions of a batch whose label is not 0, so
padding neither adds to it nor dilutes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from hmar_keras.kernels import values_of_behaviors
from hmar_keras.masks import event_weights


class EventLoss(keras.losses.Loss):
    """Mean over the positions whose label is not padding; a subclass defines `call`.

    `call(y_true, y_pred)` returns float `[batch, steps]`, a loss for each label, padding included.

    Args:
        name: name of the loss.
        **kwargs: as in `keras.losses.Loss`.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        kwargs.setdefault("reduction", "mean_with_sample_weight")
        super().__init__(name=name, **kwargs)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Excludes padding from the mean. `sample_weight` may be `[batch]` or `[batch, steps]`."""
        y_true = ops.convert_to_tensor(y_true)
        weights = event_weights(y_true, sample_weight)
        return super().__call__(y_true, y_pred, sample_weight=weights)


def _weights_of(y_true, weights):
    """Looks up the weight of each behaviour in `y_true`; 0 for padding."""
    weights = ops.convert_to_tensor(weights, "float32")
    return values_of_behaviors(weights, ops.cast(y_true, "int32"))


@keras.saving.register_keras_serializable(package="hmar_keras")
class WeightedRankingLoss(EventLoss):
    """-(alpha_b log y+ + beta log(1 - y-)) with y = sigmoid(score), Eq. 15.

    The terms of several negatives are averaged, so that beta means the same for any number of them.

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

    def __init__(
        self,
        alpha: Sequence[float],
        beta: float = 1.0,
        name: str = "weighted_ranking_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.alpha = [float(weight) for weight in alpha]
        self.beta = float(beta)

    def call(self, y_true, y_pred):
        """Returns the loss of each position, `[batch, steps]`."""
        alpha = _weights_of(y_true, self.alpha)
        y_pred = ops.cast(y_pred, "float32")
        positive = alpha * ops.softplus(-y_pred[..., 0])
        return positive + self.beta * ops.mean(ops.softplus(y_pred[..., 1:]), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}


@keras.saving.register_keras_serializable(package="hmar_keras")
class GBCELoss(EventLoss):
    """Generalised binary cross-entropy, -(alpha_b p log y+ + beta sum_j log(1 - y_j-)).

    With few negatives out of many items, Eq. 15 makes a model overconfident. The power
    p = r (t (1 - 1/r) + 1/r), with r the sampling rate, corrects that: with t = 1 the model learns
    true probabilities, with t = 0 it is plain binary cross-entropy, summed over the negatives.
    (A. Petrov and C. Macdonald, "gSASRec", RecSys 2023.)

    Args:
        alpha: as in `WeightedRankingLoss`.
        beta: the weight of the negatives.
        sampling_rate: negatives per position divided by the items to draw from; above 1 if
            items are drawn several times.
        calibration: t, in [0, 1].
        name: name of the loss.
        **kwargs: as in `keras.losses.Loss`.

    Call arguments: as in `WeightedRankingLoss`.

    Example:

    >>> loss = GBCELoss([1.0], sampling_rate=0.1, calibration=1.0)
    >>> value = loss([[1]], [[[0.0, 0.0, 0.0]]])  # (0.1 + 2) log 2
    >>> round(float(value), 4)
    1.4556
    """

    def __init__(
        self,
        alpha: Sequence[float],
        beta: float = 1.0,
        sampling_rate: float = 1.0,
        calibration: float = 0.75,
        name: str = "gbce_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not sampling_rate > 0:
            raise ValueError(f"sampling_rate must be greater than 0, got {sampling_rate}.")
        self.alpha = [float(weight) for weight in alpha]
        self.beta = float(beta)
        self.sampling_rate = float(sampling_rate)
        self.calibration = float(calibration)

    @property
    def power(self):
        """The power p, from the sampling rate (t = 1) to 1 (t = 0)."""
        return self.sampling_rate * self.calibration + 1 - self.calibration

    def call(self, y_true, y_pred):
        """Returns the loss of each position, `[batch, steps]`."""
        y_pred = ops.cast(y_pred, "float32")
        alpha = _weights_of(y_true, self.alpha)
        positive = alpha * self.power * ops.softplus(-y_pred[..., 0])
        return positive + self.beta * ops.sum(ops.softplus(y_pred[..., 1:]), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        settings = {"alpha": self.alpha, "beta": self.beta}
        settings |= {"sampling_rate": self.sampling_rate, "calibration": self.calibration}
        return {**super().get_config(), **settings}


@keras.saving.register_keras_serializable(package="hmar_keras")
class SampledSoftmaxLoss(EventLoss):
    """Sampled cross-entropy over the catalogue, -alpha_b log(e^s+ / (e^s+ + sum_j e^s_j- / r)).

    The negatives are drawn uniformly, so their sum divided by the sampling rate r estimates the sum
    over all items (Y. Bengio and J.-S. Senecal, "Adaptive importance sampling", 2008).

    Args:
        alpha: as in `WeightedRankingLoss`.
        sampling_rate: negatives per position divided by the items to draw from; above 1 if
            items are drawn several times.
        num_drawn: how many of the negatives are drawn, the last ones; those before, such as items
            of the history, stand for themselves alone. None if all are drawn.
        name: name of the loss.
        **kwargs: as in `keras.losses.Loss`.

    Call arguments: as in `WeightedRankingLoss`.

    Example:

    >>> loss = SampledSoftmaxLoss([1.0], sampling_rate=0.5)
    >>> value = loss([[1]], [[[0.0, 0.0]]])  # log(1 + 1 / 0.5)
    >>> round(float(value), 4)
    1.0986
    """

    def __init__(
        self,
        alpha: Sequence[float],
        sampling_rate: float = 1.0,
        num_drawn: int | None = None,
        name: str = "sampled_softmax_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not sampling_rate > 0:
            raise ValueError(f"sampling_rate must be greater than 0, got {sampling_rate}.")
        self.alpha = [float(weight) for weight in alpha]
        self.sampling_rate = float(sampling_rate)
        self.num_drawn = num_drawn

    def call(self, y_true, y_pred):
        """Returns the loss of each position, `[batch, steps]`."""
        y_pred = ops.cast(y_pred, "float32")
        rates = math.log(self.sampling_rate)
        if self.num_drawn is not None:
            count = ops.shape(y_pred)[-1] - 1
            is_drawn = ops.arange(count) >= count - self.num_drawn
            rates = rates * ops.cast(is_drawn, "float32")
        negatives = y_pred[..., 1:] - rates
        # log(1 + sum of e^(negative - positive)), which large logits do not overflow.
        differences = ops.logsumexp(negatives, axis=-1) - y_pred[..., 0]
        return _weights_of(y_true, self.alpha) * ops.softplus(differences)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        settings = {"alpha": self.alpha, "sampling_rate": self.sampling_rate}
        return {**super().get_config(), **settings, "num_drawn": self.num_drawn}


@keras.saving.register_keras_serializable(package="hmar_keras")
class BehaviorLoss(EventLoss):
    """Cross-entropy of the next event's behaviour, Eq. 17.

    Args:
        name: name of the loss.
        **kwargs: as in `keras.losses.Loss`.

    Call arguments:
        y_true: int `[batch, steps]`, behaviour ids of the next events, 0 for padding.
        y_pred: float `[batch, steps, K]`, logits.
    """

    def __init__(self, name: str = "behavior_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Returns the loss of each position, `[batch, steps]`."""
        y_pred = ops.cast(y_pred, "float32")
        columns = 1 + y_pred.shape[-1]  # the column of padding is cut off
        truth = ops.one_hot(ops.cast(y_true, "int32"), columns, dtype="float32")[..., 1:]
        return -ops.sum(truth * ops.log_softmax(y_pred, axis=-1), axis=-1)
