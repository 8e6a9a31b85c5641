"""What simple rules know: popularity, what the user has touched, and what goes together."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from hmar_keras.kernels import scatter_rows
from hmar_keras.layers.log_counts import LogCounts
from hmar_keras.layers.pair_table import PairTable, places_per_item
from hmar_keras.layers.remembered import Remembered
from hmar_keras.schema import Behaviors, behavior_bits

HISTORY_POWER, CANDIDATE_POWER = 0.7, 0.3  # frequent items say less, and stand beside everything
HIDDEN = -1e9  # added to a logit, it removes a candidate from a softmax
# Weights are stored divided by this, so that a few hundred small steps of Adam can change them.
_SPEED = 10.0
# Before training, what decides between touched items of one set: first conversion, then recency.
_CONVERSION, _RECENCY, _POPULARITY = 2e-2, 1e-6, 1e-9
_EARLIER = 2.0  # how much the logarithm of a touch falls when its age doubles
CURVE = 3.0  # k before training
_TOUCH, _SHARED, _ROOT = range(3)
_NOISE = 1e-5  # relative error of a sum of shares
_SMALLEST = 1e-30  # so that logarithms are finite


@keras.saving.register_keras_serializable(package="hmar_keras")
class LogMemory(keras.layers.Layer):
    """Adds what counts of the log say to the scores of a network, with few learned weights.

    At step t, after the events s <= t on items i_s with behaviours b_s, a candidate c that the user
    has touched gets the score

        S[set] + C[set] conversion(c) + r log(sum of exp(A[b_s, t - s])),

    where the sum is over the events on c, and the set that of their behaviours. Any other candidate
    gets, with s the newest event on each item of the history,

        g network(c) + p popularity(c) + k log(1 + max(y, 0) / k), where
        y = sum over s of G[b_s, t - s] w(i_s, c) + H[b_s, t - s] sqrt(w(i_s, c)),
        w(i, c) = a n_i^-0.7 n_c^-0.3 sum over sessions with i and c of 1 / len(session),

    n is an item's number of users, a a constant of the log, and a user's training events are
    together a session, too. A, G and H are linear in log(1 + t - s) between the ages 0, 1, 3, 7 and
    so on. All weights but g exist twice: for answers of the target behaviour, and for others. At
    first g is 0, and `assign` makes the scores rank like simple rules: touched items by set and
    conversion, the others by session co-occurrence.

    The training users' sessions are among those that w counts, so their next items look
    predictable. `own_shares` and `answer_shares` describe these sessions, and w is then exactly
    what it would be without the user.

    In training, the items of the history are candidates, too, so that the weights learn when a
    touched item comes back: the first `length` negatives are `item_ids`. Not in the paper.

    Args:
        num_items: size of the catalogue; ids run from 1 to `num_items`, 0 is padding.
        behaviors: names from weak to strong, and the target.
        max_length: the longest history.

    Call arguments:
        network: float32 `[batch, steps, candidates + negatives]`, the scores of a network.
        item_ids: int `[batch, length]`, left-padded with 0.
        behavior_ids: int `[batch, length]`.
        answer_behaviors: int `[batch, steps]`, the behaviour of each step's answer.
        candidate_ids: int `[batch, steps, candidates]`, for the last `steps` positions; in training
            candidate 0 is the answer.
        negative_ids: int `[batch, negatives]`: none, or `item_ids` and then items that the user
            has not touched.
        own_shares: float `[batch, length, sessions]`, 1 / sqrt(len(session)) for the user's
            sessions with the item of the event, else 0; outside training there are no sessions.
        answer_shares: float `[batch, steps, sessions]`, the same for candidate 0.

    Returns:
        float32 `[batch, steps, candidates + negatives]`; about `HIDDEN` where an item of the
        history is no candidate: before its first event, at its later events, and where it is
        candidate 0.
    """

    def __init__(self, num_items: int, behaviors: Any, max_length: int, **kwargs: Any) -> None:
        # float32 like all scores; half precision could not distinguish counts.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_items = num_items
        self.behaviors = Behaviors(**behaviors) if isinstance(behaviors, dict) else behaviors
        self.max_length = max_length
        self.pairs = PairTable(num_items, places_per_item(num_items), name="pairs")
        self.bits = behavior_bits(len(self.behaviors))
        self.num_sets, self.ages = 2 * max(self.bits), _hats(max_length)

    def build(self, *shapes, **named_shapes):
        """Creates the counts, all 0 at first, and the weights."""
        self.pairs.build()
        counts = {"shape": (self.num_items + 1,), "initializer": "zeros", "trainable": False}
        self.users = self.add_weight(name="users", **counts)
        self.popularity = self.add_weight(name="popularity", **counts)
        self.conversion = self.add_weight(name="conversion", **counts)
        self.scale = self.add_weight(name="scale", **{**counts, "shape": ()})
        shapes = {
            "by_age": (2, len(self.behaviors), self.ages.shape[1], 3),  # A, G and H
            "by_set": (2 * self.num_sets, 2),  # S and C
            "others": (2, 3),  # r, p and log k, less their first values
            "gate": (),  # g
        }
        for name, shape in shapes.items():
            setattr(self, name, self.add_weight(shape=shape, initializer="zeros", name=name))
        self.built = True

    def assign(self, counts: LogCounts) -> None:
        """Sets the counts, and the weights with which the scores rank like simple rules."""
        users = np.maximum(counts.users, 1)
        by_item = counts.scale * users[:, None] ** -HISTORY_POWER
        values = counts.pair_values * users[counts.pair_ids] ** -CANDIDATE_POWER
        self.pairs.assign(counts.pair_ids, values * by_item, counts.pair_rivals * by_item)
        self.users.assign(users)
        self.popularity.assign(counts.popularity)
        self.conversion.assign(counts.conversion)
        self.scale.assign(counts.scale)
        by_age = np.zeros(self.by_age.shape, np.float32)
        by_age[..., _TOUCH] = -_EARLIER * np.arange(by_age.shape[2])
        by_age[..., _SHARED] = 1.0
        self.by_age.assign(by_age / _SPEED)
        by_set = np.stack([counts.sets, np.full_like(counts.sets, _CONVERSION)], axis=-1)
        self.by_set.assign(np.concatenate([by_set, by_set]) / _SPEED)

    def call(
        self,
        network,
        item_ids,
        behavior_ids,
        answer_behaviors,
        candidate_ids,
        negative_ids,
        own_shares,
        answer_shares,
    ):
        """Scores the candidates."""
        history = self._history(item_ids, behavior_ids, answer_behaviors)
        count, negatives = ops.shape(candidate_ids)[2], ops.shape(negative_ids)[1]
        length = ops.shape(item_ids)[1]  # more than there are negatives, if there are none
        gated = _SPEED * self.gate * network
        shares = own_shares, answer_shares
        scores, is_touched = self._score_candidates(history, candidate_ids, *shares)
        drawn = self._score_drawn(history, negative_ids[:, length:], own_shares)
        parts = [
            scores + ops.where(is_touched, 0.0, gated[:, :, :count]),
            self._score_history(history, candidate_ids[:, :, 0])[:, :, :negatives],
            drawn + gated[:, :, count + length :],
        ]
        return ops.concatenate(parts, axis=-1)

    def _score_candidates(self, history, candidate_ids, own, answers):
        """Returns scores and whether they are touched, `[batch, steps, candidates]` each."""
        batch, steps, count = ops.shape(candidate_ids)
        length = ops.shape(history.item_ids)[1]
        flat = ops.reshape(candidate_ids, (batch, steps * count))
        shape = (batch, length, steps, count)
        is_same = ops.reshape(ops.equal(history.item_ids[:, :, None], flat[:, None]), shape)
        is_same = ops.logical_and(is_same, ops.transpose(history.seen, (0, 2, 1))[..., None])
        touches = ops.transpose(history.touches, (0, 2, 1))[..., None]
        sums = ops.sum(ops.where(is_same, touches, 0.0), axis=1)
        places = ops.arange(1, length + 1)[:, None, None]
        newest = ops.max(ops.where(is_same, places, 0), axis=1)  # from 1
        columns = ops.reshape(ops.maximum(newest - 1, 0), (batch, steps * count))
        sets = ops.take_along_axis(history.sets, columns, axis=1)
        sets = ops.reshape(sets, (batch, steps, count))
        touched = self._of_set(history.is_target[..., None], sets, candidate_ids)
        touched = touched + self._recency(history, sums)

        w = ops.reshape(self.pairs(history.item_ids, flat), shape)
        if own.shape[-1] != 0:  # only in training
            first = self._of_others(history, w[..., 0], candidate_ids, own, answers)
            w = ops.concatenate([first[..., None], w[..., 1:]], axis=-1)
        y = ops.sum(ops.transpose(history.shared, (0, 2, 1))[..., None] * w, axis=1)
        root = ops.transpose(history.root, (0, 2, 1))[..., None]
        y = y + ops.sum(root * ops.sqrt(w), axis=1)
        is_touched = newest > 0
        scores = ops.where(is_touched, touched, self._untouched(history, y, candidate_ids))
        return scores, is_touched

    def _score_history(self, history, answer_ids):
        """Scores the items of the history at each step, `[batch, steps, length]`.

        An item is a candidate at its newest event.
        """
        item_ids = history.item_ids
        sums = ops.matmul(history.touches, history.same)
        # The same for all steps, except whether the answer is of the target behaviour.
        by_target = [
            self._of_set(ops.full_like(item_ids, kind), history.sets, item_ids) for kind in (0, 1)
        ]
        is_target = ops.cast(history.is_target, "float32")[..., None]
        scores = by_target[0][:, None] + is_target * (by_target[1] - by_target[0])[:, None]
        scores = scores + self._recency(history, sums)
        is_other = ops.not_equal(item_ids[:, None], answer_ids[..., None])
        is_asked = ops.logical_and(history.newest, is_other)
        return ops.where(is_asked, scores, HIDDEN)

    def _of_others(self, history, w, candidate_ids, own, answers):
        """Returns w of each item of the history and candidate 0, without the user's sessions.

        `w` is float32 `[batch, length, steps]`, with the user; the other arguments are the layer's.
        """
        counted = [ops.cast(ops.any(each > 0, axis=-1), "float32") for each in (own, answers)]
        ids = history.item_ids, candidate_ids[:, :, 0]
        powers = HISTORY_POWER, CANDIDATE_POWER
        with_user = [self._factors(*each) for each in zip(ids, powers, strict=True)]
        without = [self._factors(*each) for each in zip(ids, powers, counted, strict=True)]
        total = w / (self.scale * with_user[0][:, :, None] * with_user[1][:, None])
        share = ops.matmul(own, ops.transpose(answers, (0, 2, 1)))
        others = ops.where(total - share > _NOISE * share, total - share, 0.0)
        others = self.scale * others * without[1][:, None]
        # A pair that the table only keeps because of the user is not there without the user.
        is_kept = others * with_user[0][:, :, None] > self.pairs.least(ids[0], ids[1])
        is_kept = ops.logical_or(is_kept, share == 0)
        return ops.where(is_kept, others * without[0][:, :, None], 0.0)

    def _score_drawn(self, history, drawn_ids, own):
        """Scores items that the user has not touched, `[batch, steps, items]`."""
        counted = ops.cast(ops.any(own > 0, axis=-1), "float32")
        change = self._factors(history.item_ids, HISTORY_POWER, counted)
        change = (change / self._factors(history.item_ids, HISTORY_POWER))[:, None]
        w = self.pairs(history.item_ids, drawn_ids)
        y = ops.matmul(history.shared * change, w)
        y = y + ops.matmul(history.root * ops.sqrt(change), ops.sqrt(w))
        return self._untouched(history, y, drawn_ids[:, None])

    def catalog(self, item_ids, behavior_ids) -> Remembered:
        """Returns what is added to the scores of a whole catalogue, for answers of the target.

        Args:
            item_ids: int `[batch, length]`.
            behavior_ids: int `[batch, length]`.
        """
        target = ops.full_like(item_ids[:, :1], self.behaviors.target_id)
        history = self._history(item_ids, behavior_ids, target)
        bias = history.others[0, 0, 1] * ops.convert_to_tensor(self.popularity)
        batch, length = ops.shape(item_ids)
        ids, w = self.pairs.rows(item_ids)
        y = history.shared[:, 0, :, None] * w + history.root[:, 0, :, None] * ops.sqrt(w)
        ids, y = (ops.reshape(x, (batch, length * self.pairs.num_places)) for x in (ids, y))
        zeros = ops.zeros((batch, self.num_items + 1))
        scores = bias + _curve(scatter_rows(zeros, ids, y, "add"), history.others[:, :, 2])
        touched = self._score_history(history, ops.zeros_like(target))[:, 0]
        # Events on an item that are not its newest write to padding.
        newest = ops.where(touched > HIDDEN / 2, item_ids, 0)
        scores = scatter_rows(scores, newest, touched)
        ids = ops.concatenate([ids, newest], axis=1)
        return Remembered(_SPEED * self.gate, bias, scores, ids, newest)

    def _history(self, item_ids, behavior_ids, answer_behaviors):
        """Looks up the weights of all events at each step."""
        length, steps = ops.shape(item_ids)[1], ops.shape(answer_behaviors)[1]
        is_target = ops.cast(ops.equal(answer_behaviors, self.behaviors.target_id), "int32")
        places = ops.arange(length)
        steps = ops.arange(length - steps, length)[:, None]
        ages = steps - places  # of each event at each step
        seen = ops.logical_and(ages >= 0, ops.not_equal(item_ids, 0)[:, None])
        same = ops.equal(item_ids[:, :, None], item_ids[:, None])
        following = ops.where(ops.logical_and(same, places[:, None] < places), places, length)
        newest = ops.logical_and(seen, ops.min(following, axis=2)[:, None] > steps)
        kinds = ops.maximum(behavior_ids - 1, 0)[:, None]
        rows = is_target[..., None] * len(self.behaviors) + kinds
        rows = rows * self.max_length + ops.maximum(ages, 0)
        table = self._by_age()
        # Events that are not the newest on their item only count as touches, others not at all.
        rows = rows + ops.where(newest, 0, table.shape[0] // 3)
        rows = ops.where(seen, rows, table.shape[0] - 1)
        touches, shared, root = ops.unstack(ops.take(table, rows, axis=0), axis=-1)
        bits = ops.convert_to_tensor(sorted(set(self.bits[1:])))
        own_bits = ops.take(ops.convert_to_tensor(self.bits, "int32"), behavior_ids, axis=0)
        kinds = ops.cast(ops.equal(own_bits[..., None], bits), "float32")
        until = ops.logical_and(same, places[:, None] >= places)
        counts = ops.matmul(ops.cast(until, "float32"), kinds)
        return _History(
            item_ids=item_ids,
            is_target=is_target,
            seen=seen,
            newest=newest,
            touches=touches,
            shared=shared,
            root=root,
            same=ops.cast(same, "float32"),
            sets=ops.sum(ops.cast(counts > 0.5, "int32") * bits, axis=-1),
            others=ops.take(self._others(), is_target, axis=0),
        )

    def _by_age(self):
        """Returns the weights of events by kind of answer, behaviour and age.

        Returns:
            float32 `[3 * 2 * K * max_length, 3]`: exp(A), G and H; exp(A), 0 and 0; and zeros.
        """
        by_age = _SPEED * ops.einsum("akhc,lh->aklc", ops.convert_to_tensor(self.by_age), self.ages)
        by_age = ops.reshape(by_age, (2 * len(self.behaviors) * self.max_length, 3))
        touch = ops.exp(by_age[:, :1])
        none = ops.zeros_like(by_age)
        only_touch = ops.concatenate([touch, none[:, 1:]], axis=1)
        return ops.concatenate(
            [ops.concatenate([touch, by_age[:, 1:]], axis=1), only_touch, none], axis=0
        )

    def _others(self):
        first = ops.convert_to_tensor([_RECENCY, _POPULARITY, math.log(CURVE)], "float32")
        others = first + _SPEED * ops.convert_to_tensor(self.others)
        return ops.concatenate([others[:, :2], ops.exp(others[:, 2:])], axis=-1)

    def _factors(self, item_ids, power, counted=0.0):
        """Returns n^-power, `[...]`; without the users in `counted`."""
        users = ops.take(ops.convert_to_tensor(self.users), item_ids, axis=0) - counted
        return ops.power(ops.maximum(users, 1.0), -power)

    def _of_set(self, is_target, sets, item_ids):
        """Returns S + C conversion of touched items.

        Args:
            is_target: int, broadcast to the shape of `item_ids`.
            sets: int, in the shape of `item_ids`.
            item_ids: int.
        """
        # Multiplied first, so that the gradient of the lookup is not sparse.
        by_set = _SPEED * ops.convert_to_tensor(self.by_set)
        by_set = ops.take(by_set, is_target * self.num_sets + sets, axis=0)
        conversion = ops.take(ops.convert_to_tensor(self.conversion), item_ids, axis=0)
        return by_set[..., 0] + by_set[..., 1] * conversion

    def _recency(self, history, sums):
        """Returns r log(sum of touches); `sums` are `[batch, steps, n]`."""
        return history.others[..., :1] * ops.log(ops.maximum(sums, _SMALLEST))

    def _untouched(self, history, y, item_ids):
        """Returns the scores of other items, `[batch, steps, n]`."""
        popularity = ops.take(ops.convert_to_tensor(self.popularity), item_ids, axis=0)
        return history.others[..., 1:2] * popularity + _curve(y, history.others[..., 2:])

    def compute_output_shape(self, network_shape, *others, **more):
        """Returns `[batch, steps, candidates + negatives]`."""
        return network_shape

    def compute_output_spec(self, network, *others, **more):
        """Returns float32 `[batch, steps, candidates + negatives]`."""
        return keras.KerasTensor(network.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "behaviors": dataclasses.asdict(self.behaviors),
            "max_length": self.max_length,
        }


@dataclasses.dataclass(frozen=True)
class _History:
    """The events of a batch and their weights.

    Args:
        item_ids: int `[batch, length]`.
        is_target: int `[batch, steps]`, 1 where the answer is of the target behaviour, else 0.
        seen: bool `[batch, steps, length]`, whether a step sees an event.
        touches: float32 `[batch, steps, length]`, exp(A), 0 for events not seen.
        newest: bool `[batch, steps, length]`, whether an event is the newest on its item.
        shared: float32 `[batch, steps, length]`, G, 0 for events that are not the newest.
        root: float32 `[batch, steps, length]`, H, 0 for events that are not the newest.
        same: float32 `[batch, length, length]`, 1 where two events are on the same item.
        sets: int `[batch, length]`, the set of the behaviours on the item up to each event.
        others: float32 `[batch, steps, 3]`: r, p and k.
    """

    item_ids: Any
    is_target: Any
    seen: Any
    newest: Any
    touches: Any
    shared: Any
    root: Any
    same: Any
    sets: Any
    others: Any


def _curve(y, k):
    """Returns k log(1 + max(y, 0) / k)."""
    return k * ops.log1p(ops.relu(y) * (1 / k))


def _hats(max_length):
    """Returns weights of linear interpolation: float32 `[max_length, points]` for each age.

    The points are the ages 0, 1, 3, 7 and so on, at equal distances on the scale of log(1 + age).
    """
    places = np.log2(1 + np.arange(max_length))
    points = np.arange(math.ceil(places[-1]) + 1)
    return np.maximum(1 - np.abs(places[:, None] - points), 0).astype(np.float32)
