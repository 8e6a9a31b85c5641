"""Training objectives: the inputs and labels of a batch, the losses, their weights and metrics.

An objective turns windows of users' histories into a model's inputs and the labels of its outputs.
It does not know who makes the batches: the same code runs in tf.data on the host and under JAX on
the device, and uses only functions that both have, such as `where`, `stack` and `concat`.
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
    ANSWER_BEHAVIORS,
    ANSWER_SHARES,
    BEHAVIOR_IDS,
    CANDIDATE_IDS,
    ITEM_IDS,
    NEGATIVE_IDS,
    NETWORK,
    OWN_SHARES,
    RANKING,
    TIMESTAMPS,
    USER_IDS,
)

# Weight of a network's own loss beside a memory. A weight of 1 is better where the network knows
# more than the memory, and worse where it knows less.
_ALONE = 0.2


@dataclasses.dataclass(frozen=True)
class TrainingWindows:
    """Windows of histories, left-padded with 0, from which a batch is made.

    Args:
        xp: the namespace of the arrays, `tensorflow` or `jax.numpy`.
        features: names of the inputs that the model reads.
        item_ids: int32 `[rows, events]`.
        behavior_ids: int32 `[rows, events]`.
        is_first: bool `[rows, events]`, whether an event is its user's first on its item.
        user_ids: int32 `[rows]`, from 1; None unless the model reads them.
        timestamps: float32 `[rows, events]`, time since the window's first event; None unless the
            model reads them.
        negatives: returns int32 `[rows, events - lookahead, num_negatives]`, drawn at random from
            the items that the user has not touched; with shared negatives
            `[rows, 1, num_negatives]`.
        uniform: returns float32 `[rows, events]`, drawn at random from [0, 1).
        own_shares: float32 `[rows, events, sessions]`, 1 / sqrt(len(session)) for the sessions of
            the user with the item of the event, else 0; None unless the objective reads them.
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
    own_shares: Any = None

    def inputs(self, leave_out: int = 0) -> dict[str, Any]:
        """Returns what the model reads of the windows, by name.

        Args:
            leave_out: how many of the newest events to leave out, because they are to be predicted.
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
        loss: takes labels `[rows, steps]`, 0 where there is nothing to learn, and the output.
        weight: weight of the loss.
        metrics: creates the metrics, which take the same labels.
        truth: computes the labels from the windows; None for the labels of the objective.
    """

    loss: keras.losses.Loss
    weight: float = 1.0
    metrics: Callable[[], Sequence[keras.metrics.Metric]] = tuple
    truth: Callable[[TrainingWindows], Any] | None = None


class Objective:
    """Base class of objectives; a subclass defines the inputs, candidates and labels of a batch.

    Args:
        outputs: what is trained, by the name of the model's output.
        num_negatives: negatives per position, or per window if they are shared.
        shared_negatives: whether the positions of a window share negatives.
        windows: `"last"` for each user's newest window only, or `"all"` to cut the whole history.
        order: order of the events in a window, `"time"` or `"random"`.

    Attributes:
        lookahead: how many events a window has in addition to those that the model reads.
        reads_shares: whether it reads the `own_shares` of windows.
    """

    lookahead = 0
    reads_shares = False

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
        """Adds an output with its loss, and returns the objective."""
        self.outputs[name] = output
        return self

    def batch(self, windows: TrainingWindows) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns a batch in the form that a model takes.

        Returns:
            `(inputs, labels)`. The inputs are what the model reads, `candidate_ids`
            `[rows, steps, candidates]` with the positives first, and with shared negatives
            `negative_ids` `[rows, negatives]`. The labels are `[rows, steps]` for each output, 0
            where there is nothing to learn.
        """
        raise NotImplementedError(f"{type(self).__name__} must define batch.")

    def question(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the inputs that ask what follows a history; by default the history itself.

        Args:
            inputs: tensors that the model reads, by name.
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
        """Returns the inputs for positives `[rows, steps, 1 or more]` and their negatives."""
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
    """Predicts the event that follows each event: its item among negatives, and its behaviour.

    The labels are the behaviours of the next events, `[rows, steps]`, 0 where no event precedes
    them.

    Args:
        loss: loss of the output `ranking`.
        only_new: learn to rank only items that the user touches for the first time; touched items
            are then negatives.
        memory_target: id of the target behaviour if the model has a memory, see
            `hmar_keras.layers.LogMemory`; else None.
        **kwargs: as in `Objective`.

    Example:

    >>> objective = NextItem(WeightedRankingLoss([1.0, 1.0]), num_negatives=4)
    >>> sorted(objective.compile_arguments())
    ['loss', 'loss_weights', 'metrics']
    """

    lookahead = 1

    def __init__(
        self,
        loss: keras.losses.Loss,
        only_new: bool = False,
        memory_target: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__({RANKING: Output(loss, metrics=_ranking_metrics)}, **kwargs)
        self.only_new = only_new
        self.memory_target = memory_target
        self.reads_shares = memory_target is not None

    @classmethod
    def of(cls, config: NextItemConfig) -> Self:
        """Creates the objective that the settings describe."""
        objective = cls(
            ranking_loss(config),
            only_new=config.labels == "new_items",
            memory_target=config.behaviors.target_id if _has_memory(config) else None,
            num_negatives=config.num_negatives,
            shared_negatives=config.shared_negatives,
            windows=config.training_windows,
            order=config.training_order,
        )
        if not _has_memory(config):
            return objective
        # Beside a memory a network learns exceptions rather than what is usual. So it also learns
        # alone, and only what it is asked for: items that the user has not touched.
        alone = SampledSoftmaxLoss(config.alpha_by_id, config.sampling_rate)
        return objective.with_output(NETWORK, Output(alone, _ALONE, truth=_new_items))

    def batch(self, windows: TrainingWindows) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns a batch in which each event predicts the next; see `Objective.batch`.

        With `only_new` there is one more candidate, the position's own item.
        """
        xp, items = windows.xp, windows.item_ids
        inputs, candidates = items[:, :-1], items[:, 1:, None]
        if self.only_new and not self.reads_shares:
            # A touched item is never a label, and no other negative teaches the model that.
            candidates = xp.stack([items[:, 1:], inputs], axis=-1)
        following = _next_behaviors(windows)
        ranked = _new_items(windows) if self.only_new else following
        asked = self._candidates(xp, candidates, windows.negatives())
        if self.reads_shares:
            asked[NEGATIVE_IDS] = xp.concat([inputs, asked[NEGATIVE_IDS]], axis=1)
            asked[ANSWER_BEHAVIORS] = windows.behavior_ids[:, 1:]
            asked[OWN_SHARES] = windows.own_shares[:, :-1]
            asked[ANSWER_SHARES] = windows.own_shares[:, 1:]
        return windows.inputs(leave_out=1) | asked, self._truths(windows, ranked, following)

    def question(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Asks a model with a memory for an item of the target behaviour."""
        if not self.reads_shares:
            return inputs
        items = inputs[ITEM_IDS]
        none = ops.zeros((*ops.shape(items), 0))
        target = ops.full_like(items[:, :1], self.memory_target)
        shares = {OWN_SHARES: none, ANSWER_SHARES: none[:, :1]}
        return {**inputs, ANSWER_BEHAVIORS: target, **shares}


class MaskedItems(Objective):
    """Predicts the items of some events, which are hidden behind the id `mask_id`.

    The behaviours of the hidden events stay visible, and are the labels. To ask what follows a
    history, a hidden event of the target behaviour is appended to it.

    F. Sun et al., "BERT4Rec: Sequential recommendation with bidirectional encoder representations
    from Transformer", CIKM 2019.

    Args:
        loss: loss of the output `ranking`.
        mask_id: the id in place of a hidden item, `num_items + 1`.
        target_id: id of the target behaviour.
        share: share of events to hide, in (0, 1]; if no event of a window is drawn, the newest is
            hidden.
        max_length: the most events that the model reads.
        **kwargs: as in `Objective`.
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
        """Returns a batch in which some events' items are hidden; see `Objective.batch`."""
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
        """Appends a hidden event to a history, and drops the oldest event if it is full."""
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
        if TIMESTAMPS in asked:  # count from the first remaining event; padding has 0
            asked[TIMESTAMPS] = asked[TIMESTAMPS] - asked[TIMESTAMPS][:, :1]
        return asked


def _next_behaviors(windows):
    """Returns the behaviours of the next events: before the first there is nothing to predict."""
    return windows.xp.where(windows.item_ids[:, :-1] > 0, windows.behavior_ids[:, 1:], 0)


def _new_items(windows):
    """Returns the behaviours of the next events, 0 unless their item is new to the user."""
    return windows.xp.where(windows.is_first[:, 1:], _next_behaviors(windows), 0)


def _has_memory(config):
    return getattr(config, "memory", False)


def _ranking_metrics():
    return HitRate(10), NDCG(10)


def ranking_loss(config: NextItemConfig) -> keras.losses.Loss:
    """Creates the ranking loss that the settings describe."""
    if config.loss == "gbce":
        rate, calibration = config.sampling_rate, config.gbce_calibration
        return GBCELoss(config.alpha_by_id, config.beta, rate, calibration)
    if config.loss == "sampled_softmax":
        drawn = config.num_negatives if _has_memory(config) else None
        return SampledSoftmaxLoss(config.alpha_by_id, config.sampling_rate, drawn)
    return WeightedRankingLoss(config.alpha_by_id, config.beta)
