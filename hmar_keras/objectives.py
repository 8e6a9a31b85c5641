"""What a batch of training asks a model, with the losses, their weights, and the metrics.

An objective is given windows of users' histories and makes of them a model's inputs and the truths
of its outputs. It does not know who makes the batches: the same code runs in tf.data on the host
and under JAX on the device, with the few functions that both have, `where`, `stack`, `concat`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
from keras import ops

from hmar_keras.config import NextItemConfig
from hmar_keras.losses import GBCELoss, SampledSoftmaxLoss, WeightedRankingLoss
from hmar_keras.metrics import NDCG, HitRate
from hmar_keras.schema import (
    BEHAVIOR_IDS,
    CANDIDATE_IDS,
    ITEM_IDS,
    NEGATIVE_IDS,
    RANKING,
    TIMESTAMPS,
    USER_IDS,
)


@dataclasses.dataclass(frozen=True)
class TrainingWindows:
    """Windows of histories, left-padded with 0, out of which a batch is made.

    Args:
        xp: `tensorflow` or `jax.numpy`, what the arrays are of.
        features: names of the inputs that the model reads.
        item_ids: int32 `[rows, events]`.
        behavior_ids: int32 `[rows, events]`.
        is_first: bool `[rows, events]`, whether an event is its user's first on its item.
        user_ids: int32 `[rows]`, from 1; None unless the model reads them.
        timestamps: float32 `[rows, events]`, since the window's first event; None unless the model
            reads them.
        negatives: gives int32 `[rows, events - lookahead, num_negatives]`, drawn at random from
            what the user has not touched; with shared negatives `[rows, 1, num_negatives]`.
        uniform: gives float32 `[rows, events]`, drawn at random in [0, 1).
    """

    xp: Any
    features: Sequence[str]
    item_ids: Any
    behavior_ids: Any
    is_first: Any
    user_ids: Any
    timestamps: Any
    negatives: Callable[[], Any]
    uniform: Callable[[], Any]

    def inputs(self, leave_out: int = 0) -> dict[str, Any]:
        """What the model reads of the windows, by name.

        Args:
            leave_out: how many of the newest events are left out, which are to be predicted.
        """
        stop = -leave_out if leave_out else None
        found = {
            ITEM_IDS: self.item_ids[:, :stop],
            BEHAVIOR_IDS: self.behavior_ids[:, :stop],
            USER_IDS: self.user_ids,
            TIMESTAMPS: None if self.timestamps is None else self.timestamps[:, :stop],
        }
        return {name: found[name] for name in self.features}


@dataclasses.dataclass(frozen=True)
class Output:
    """One output of a model in training.

    Args:
        loss: of truths `[rows, steps]`, 0 where there is nothing to learn, and the output.
        weight: of the loss.
        metrics: makes those of the same truths.
        truth: of windows the truths; None for those of the objective.
    """

    loss: keras.losses.Loss
    weight: float = 1.0
    metrics: Callable[[], Sequence[keras.metrics.Metric]] = tuple
    truth: Callable[[TrainingWindows], Any] | None = None


class Objective:
    """What a batch asks. A subclass says what the inputs, the candidates and the truths are.

    Args:
        outputs: by the name of the model's output.
        num_negatives: drawn for each position, or for each window if they are shared.
        shared_negatives: whether a window's positions share them.
        windows: `"last"` for each user's newest window alone, or `"all"` to cut the whole history.
        order: of a window's events, `"time"` or `"random"`.

    Attributes:
        lookahead: how many events a window has beside those that the model reads.
    """

    lookahead = 0

    def __init__(
        self,
        outputs: dict[str, Output],
        num_negatives: int = 1,
        shared_negatives: bool = False,
        windows: str = "last",
        order: str = "time",
    ) -> None:
        self.outputs = outputs
        self.num_negatives = num_negatives
        self.shared_negatives = shared_negatives
        self.windows = windows
        self.order = order

    def with_output(self, name: str, output: Output) -> Self:
        """Adds an output with its loss; returns the objective."""
        self.outputs[name] = output
        return self

    def batch(self, windows: TrainingWindows) -> tuple[dict[str, Any], dict[str, Any]]:
        """A batch as a model takes it.

        Returns:
            `(inputs, truths)`: what the model reads, `candidate_ids` `[rows, steps, candidates]`
            with the answers first, and with shared negatives `negative_ids` `[rows, negatives]`;
            and for each output `[rows, steps]`, 0 where there is nothing to learn.
        """
        raise NotImplementedError(f"{type(self).__name__} must define batch.")

    def question(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What the model is given to be asked what comes after a history; here the history.

        Args:
            inputs: by name, what the model reads, tensors.
        """
        return inputs

    def compile_arguments(self) -> dict[str, dict[str, Any]]:
        """Returns `loss`, `loss_weights` and `metrics` for a model's `compile`."""
        return {
            "loss": {name: each.loss for name, each in self.outputs.items()},
            "loss_weights": {name: each.weight for name, each in self.outputs.items()},
            "metrics": {name: list(each.metrics()) for name, each in self.outputs.items()},
        }

    def _candidates(self, xp, candidates, negatives):
        """The inputs for answers `[rows, steps, 1 or more]` and negatives of either form."""
        if self.shared_negatives:
            return {CANDIDATE_IDS: candidates, NEGATIVE_IDS: negatives[:, 0]}
        return {CANDIDATE_IDS: xp.concat([candidates, negatives], axis=-1)}

    def _truths(self, windows, ranked, usual):
        truths = {RANKING: ranked}
        for name, output in self.outputs.items():
            if output.truth is not None:
                truths[name] = output.truth(windows)
        return {name: truths.get(name, usual) for name in self.outputs}


class NextItem(Objective):
    """After every event the next one: its item among negatives, and what was done to it.

    The truths are the next behaviours, `[rows, steps]`, 0 where nothing precedes them.

    Args:
        loss: of the output `ranking`.
        only_new: learn to rank items that the user touches for the first time, and no others; what
            has been touched is then a negative.
        **kwargs: as of `Objective`.

    Example:

    >>> objective = NextItem(WeightedRankingLoss([1.0, 1.0]), num_negatives=4)
    >>> sorted(objective.compile_arguments())
    ['loss', 'loss_weights', 'metrics']
    """

    lookahead = 1

    def __init__(self, loss: keras.losses.Loss, only_new: bool = False, **kwargs: Any) -> None:
        super().__init__({RANKING: Output(loss, metrics=_ranking_metrics)}, **kwargs)
        self.only_new = only_new

    @classmethod
    def of(cls, config: NextItemConfig) -> Self:
        """The objective that settings ask for."""
        return cls(
            ranking_loss(config),
            only_new=config.labels == "new_items",
            num_negatives=config.num_negatives,
            shared_negatives=config.shared_negatives,
            windows=config.training_windows,
            order=config.training_order,
        )

    def batch(self, windows: TrainingWindows) -> tuple[dict[str, Any], dict[str, Any]]:
        """Makes a batch in which every event but the last is followed by the next one.

        With `only_new` there is one more candidate, the position's own item; see `Objective.batch`.
        """
        xp, items = windows.xp, windows.item_ids
        inputs, candidates = items[:, :-1], items[:, 1:, None]
        if self.only_new:
            # What has been touched is no answer, and no other negative would tell the model so.
            candidates = xp.stack([items[:, 1:], inputs], axis=-1)
        # Before the first event there is nothing to predict from.
        following = xp.where(inputs > 0, windows.behavior_ids[:, 1:], 0)
        ranked = xp.where(windows.is_first[:, 1:], following, 0) if self.only_new else following
        asked = self._candidates(xp, candidates, windows.negatives())
        return windows.inputs(leave_out=1) | asked, self._truths(windows, ranked, following)


class MaskedItems(Objective):
    """Some events' items are hidden behind the id `mask_id`; which are they?

    The hidden event's behaviour stays in sight. A history is asked what follows by one more event
    at its end, of the target behaviour and hidden. The truths are the hidden events' behaviours.

    F. Sun et al., "BERT4Rec: Sequential recommendation with bidirectional encoder representations
    from Transformer", CIKM 2019.

    Args:
        loss: of the output `ranking`.
        mask_id: what stands for a hidden item, `num_items + 1`.
        target_id: the target behaviour's.
        share: of events that are hidden, in (0, 1]; of a window none of whose events are, the
            newest is.
        max_length: the most events that the model reads.
        **kwargs: as of `Objective`.
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        mask_id: int,
        target_id: int,
        share: float,
        max_length: int,
        **kwargs: Any,
    ) -> None:
        super().__init__({RANKING: Output(loss, metrics=_ranking_metrics)}, **kwargs)
        self.mask_id = mask_id
        self.target_id = target_id
        self.share = share
        self.max_length = max_length

    def batch(self, windows: TrainingWindows) -> tuple[dict[str, Any], dict[str, Any]]:
        """Makes a batch in which some events' items are hidden; see `Objective.batch`."""
        xp, items = windows.xp, windows.item_ids
        hidden = (windows.uniform() < self.share) & (items > 0)
        none = xp.cumsum(xp.where(hidden, 1, 0), axis=1)[:, -1:] == 0
        newest = xp.concat([xp.zeros_like(hidden[:, 1:]), none], axis=1)
        hidden = (hidden | newest) & (items > 0)
        asked = self._candidates(xp, items[:, :, None], windows.negatives())
        inputs = windows.inputs() | {ITEM_IDS: xp.where(hidden, self.mask_id, items)}
        truths = xp.where(hidden, windows.behavior_ids, 0)
        return inputs | asked, self._truths(windows, truths, truths)

    def question(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The history with a hidden event at its end, without its oldest where it is full."""
        added = {ITEM_IDS: self.mask_id, BEHAVIOR_IDS: self.target_id}
        kept = slice(1 - self.max_length, None) if self.max_length > 1 else slice(0)
        asked = {}
        for name, values in inputs.items():
            if name == USER_IDS:
                asked[name] = values
                continue
            newest = values[:, -1:]
            more = ops.full_like(newest, added[name]) if name in added else newest
            asked[name] = ops.concatenate([values[:, kept], more], axis=1)
        if TIMESTAMPS in asked:  # since the first event that is left; padding has 0
            asked[TIMESTAMPS] = asked[TIMESTAMPS] - asked[TIMESTAMPS][:, :1]
        return asked


def _ranking_metrics():
    return HitRate(10), NDCG(10)


def ranking_loss(config: NextItemConfig) -> keras.losses.Loss:
    """The loss of the ranking that settings ask for."""
    if config.loss == "gbce":
        rate, calibration = config.sampling_rate, config.gbce_calibration
        return GBCELoss(config.alpha_by_id, config.beta, rate, calibration)
    if config.loss == "sampled_softmax":
        return SampledSoftmaxLoss(config.alpha_by_id, config.sampling_rate)
    return WeightedRankingLoss(config.alpha_by_id, config.beta)
