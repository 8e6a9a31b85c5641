"""Sessions of the training events: how long they are, and what pairs of items share in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy import sparse

from hmar_keras.layers.log_memory import CANDIDATE_POWER, CURVE, HISTORY_POWER
from pipelines.datasets.time_unit import time_unit
from pipelines.protocol.splits import Splits, event_users
from pipelines.protocol.training_counts import ones_at, training_sessions

_SECONDS = 60, 3_600, 86_400
_USERS_ASKED = 500
_FEWEST_ASKED = 30
_MOST_SCORES = 1 << 25  # 128 MiB
_USERS_AT_ONCE = 16
_PAIRS_AT_ONCE = 1 << 22  # some 100 MB
_POWERS = int(CURVE) + 1  # exp of the curve with which a memory scores is a polynomial


@dataclasses.dataclass(frozen=True)
class CountedSessions:
    """The sessions of training: all training events of each user, and the buckets of time.

    Args:
        items: float32 [sessions, num_items + 1], sparse, 1 for the items of a session.
        owners: int64 [sessions], the users' rows.
    """

    items: sparse.csr_array
    owners: np.ndarray

    @classmethod
    def of(
        cls, splits: Splits, touched: sparse.csr_array, width: int | None = None
    ) -> CountedSessions:
        """Collects the sessions.

        Args:
            splits: the split dataset.
            touched: the `touched_items` of the dataset.
            width: length of the buckets of time, in the unit of the log's times, 0 for none; by
                default that of `session_evidence`.
        """
        width = session_evidence(splits, touched).width if width is None else width
        sessions, owners = [touched], [np.arange(splits.dataset.num_users)]
        if width:
            buckets, users = training_sessions(splits, width)
            sessions.append(buckets)
            owners.append(users)
        return cls(sparse.vstack(sessions, format="csr"), np.concatenate(owners))

    def pairs(self) -> Iterator[tuple[int, sparse.csr_array]]:
        """Sums 1 / len(session) over the sessions that two items share, for all pairs in blocks.

        Yields:
            the number of an item, and float32 [some, num_items + 1], the sums of this item (the
            first row) and of those after it with every item.
        """
        lengths = self.items.sum(axis=1)
        counts = self.items.T @ lengths  # per item, over all sessions
        blocks = (np.cumsum(counts, dtype=np.float64) / _PAIRS_AT_ONCE).astype(int)
        weights = (1 / np.maximum(lengths, 1)).astype(np.float32)
        columns = sparse.diags_array(weights) @ self.items
        rows = self.items.tocsc()
        for block in np.unique(blocks):
            start, end = np.searchsorted(blocks, [block, block + 1])
            yield start, (rows[:, start:end].T @ columns).tocsr()


def item_factors(touched: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Returns how much an item counts in a history and as a candidate: float [items] each.

    Args:
        touched: the `touched_items` of a dataset.
    """
    users = np.maximum(touched.sum(axis=0), 1)
    return users**-HISTORY_POWER, users**-CANDIDATE_POWER


@dataclasses.dataclass(frozen=True)
class Evidence:
    """How well co-occurrence answers some training users, whose own sessions are not counted.

    Args:
        width: length of the buckets of time, in the unit of the log's times, 0 for none.
        ranks: int64 [questions], how many items the user has not touched score at least as high as
            the answer.
        of_answers: float32 [questions], the scores of the answers.
        highest: float32 [questions], the highest score of an item that the user has not touched.
        power_sums: float64 [questions, CURVE + 1], sums of the powers 0, 1, ... of the scores of
            these items.
    """

    width: int
    ranks: np.ndarray
    of_answers: np.ndarray
    highest: np.ndarray
    power_sums: np.ndarray

    def gain(self) -> float:
        """Returns the mean NDCG of the answers among the items that the user has not touched."""
        return float(np.mean(1 / np.log2(2 + self.ranks)))


def session_evidence(splits: Splits, touched: sparse.csr_array) -> Evidence:
    """Chooses the length of the buckets of time that make up sessions.

    Up to 500 users, at most a tenth, are asked for their last new training item of the target
    behaviour, by co-occurrence with what they touched before in the events of all other users. The
    bucket with the highest mean NDCG wins: none, equal times, a minute, an hour, or a day; the
    first of equals. So a log whose times say nothing has no sessions.

    With more than 67,000 items fewer users are asked, so that their scores fit into 128 MiB, but
    not fewer than 30.

    Args:
        splits: the split dataset.
        touched: the `touched_items` of the dataset.

    Returns:
        the bucket with the users' answers and the scores of its sessions, measured once per
        `Splits`.
    """
    return splits.once("session_evidence", lambda: _best_evidence(splits, touched))


def _best_evidence(splits, touched):
    asked, answers, history = _questions(splits)
    if not len(asked):
        return Evidence(0, *np.zeros((3, 0)), np.zeros((0, _POWERS)))
    by_history, by_candidate = item_factors(touched)
    weights = history @ sparse.diags_array(by_history.astype(np.float32))
    is_other = np.ones(splits.dataset.num_users, bool)
    is_other[asked] = False
    by_user = np.zeros(history.shape, np.float32)

    def evidence(width, sessions, owners):
        found = []
        for some, scores in _scores(weights, sessions[is_other[owners]], by_candidate):
            scores += by_user[some]
            if not width:
                by_user[some] = scores
            found.append(_measured(scores, history[some], answers[some]))
        return Evidence(width, *map(np.concatenate, zip(*found, strict=True)))

    choices = [evidence(0, touched, np.arange(splits.dataset.num_users))]
    for width in _widths(splits.dataset.timestamps[splits.training_events()]):
        choices.append(evidence(width, *training_sessions(splits, width)))
    return max(choices, key=Evidence.gain)  # the first of equals


def _widths(times):
    """Returns the buckets to try: equal times and, if the unit is known, those of `_SECONDS`."""
    unit, per_second = time_unit(times.min(), times.max())
    return (1, *(per_second * seconds for seconds in _SECONDS)) if unit else (1,)


def _questions(splits):
    """Asks some users for the last item of their training that they had not touched before.

    Returns:
        int64 [questions], the users' rows; int64 [questions], the answers; and float32
        [questions, num_items + 1], sparse, 1 for the items that the user touched before.
    """
    dataset = splits.dataset
    trained = splits.training_events()
    users, items = event_users(dataset)[trained], dataset.item_ids[trained].astype(np.int64)
    is_target = dataset.behavior_ids[trained] == dataset.behaviors.target_id
    _, first = np.unique(users * (dataset.num_items + 1) + items, return_index=True)
    is_new = np.zeros(len(users), bool)
    is_new[first] = True
    is_new &= is_target & (np.arange(len(users)) > np.searchsorted(users, users))
    places = np.flatnonzero(is_new)
    last = places[np.append(np.diff(users[places]) > 0, True)] if len(places) else places
    most = min(_USERS_ASKED, max(_MOST_SCORES // (dataset.num_items + 1), _FEWEST_ASKED))
    most = max(min(most, dataset.num_users // 10), 1)
    last = last[:: max(-(-len(last) // most), 1)]
    lengths = last - np.searchsorted(users, users[last])
    rows = np.repeat(np.arange(len(last)), lengths)
    events = np.repeat(last - np.cumsum(lengths), lengths) + np.arange(len(rows))
    shape = (len(last), dataset.num_items + 1)
    return users[last], items[last], ones_at(rows, items[events], shape)


def _scores(history, sessions, by_candidate):
    """Computes the co-occurrence of the histories with all items, some histories at a time.

    Yields:
        a slice of the questions, and their scores: float32 [some, num_items + 1].
    """
    scaled = sparse.diags_array(1 / np.maximum(sessions.sum(axis=1), 1)) @ sessions
    by_candidate = by_candidate.astype(np.float32)
    for start in range(0, history.shape[0], _USERS_AT_ONCE):
        some = slice(start, start + _USERS_AT_ONCE)
        # Dense, because a few long histories meet most sessions.
        scores = scaled.T @ (sessions @ history[some].T.toarray())
        yield some, np.multiply(scores.T, by_candidate, order="C")


def _measured(scores, history, answers):
    """Returns the arrays of `Evidence` for some questions; overwrites their scores."""
    of_answers = scores[np.arange(len(answers)), answers]
    scores[:, 0] = scores[history.nonzero()] = -1
    ranks = np.count_nonzero(scores >= of_answers[:, None], axis=1) - 1  # without the answer
    np.maximum(scores, 0, out=scores)
    sums = [scores.shape[1] - 1 - np.diff(history.indptr)]
    power = np.ones_like(scores)
    for _ in range(1, _POWERS):
        power *= scores
        sums.append(power.sum(axis=1, dtype=np.float64))
    return ranks, of_answers, scores.max(axis=1), np.stack(sums, axis=1)
