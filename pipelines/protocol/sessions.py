"""Sessions of the training events: how long they are, and what pairs of items share in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy import sparse

from hmar_keras.layers.log_memory import CANDIDATE_POWER, HISTORY_POWER
from pipelines.datasets.time_unit import time_unit
from pipelines.protocol.splits import Splits, event_users
from pipelines.protocol.training_counts import ones_at, touched_items, training_sessions

_SECONDS = 60, 3_600, 86_400
_USERS_ASKED = 500
_USERS_AT_ONCE = 16
_PAIRS_AT_ONCE = 1 << 22  # some 100 MB


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
    def of(cls, splits: Splits, touched: sparse.csr_array, width: int) -> CountedSessions:
        """Collects the sessions.

        Args:
            splits: the split dataset.
            touched: the `touched_items` of the dataset.
            width: length of the buckets of time, in the unit of the log's times, 0 for none.
        """
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
        answers: int64 [questions], item ids.
        history: float32 [questions, num_items + 1], sparse, above 0 for the items of the history.
        scores: float32 [questions, num_items + 1].
    """

    width: int
    answers: np.ndarray
    history: sparse.csr_array
    scores: np.ndarray


def choose_width(splits: Splits, by_history: np.ndarray, by_candidate: np.ndarray) -> int:
    """Returns the `width` of `session_evidence`."""
    return session_evidence(splits, by_history, by_candidate).width


def session_evidence(splits: Splits, by_history: np.ndarray, by_candidate: np.ndarray) -> Evidence:
    """Chooses the length of the buckets of time that make up sessions.

    Up to 500 users, at most a tenth, are asked for their last new training item of the target
    behaviour, by co-occurrence with what they touched before in the events of all other users. The
    bucket with the highest mean NDCG wins: none, equal times, a minute, an hour, or a day; the
    first of equals. So a log whose times say nothing has no sessions.

    Args:
        splits: the split dataset.
        by_history: float [num_items + 1], factors of the items of a history.
        by_candidate: float [num_items + 1], factors of the candidates.

    Returns:
        the bucket with the users' questions and the scores of its sessions.
    """
    asked, answers, history = _questions(splits)
    if not len(asked):
        return Evidence(0, answers, history, np.zeros(history.shape, np.float32))
    history = history @ sparse.diags_array(by_history.astype(np.float32))
    is_other = np.ones(splits.dataset.num_users, bool)
    is_other[asked] = False

    def scores(sessions, users):
        return _scores(history, sessions[is_other[users]], by_candidate)

    by_user = scores(touched_items(splits), np.arange(splits.dataset.num_users))
    best, best_gain = Evidence(0, answers, history, by_user), _mean_gain(by_user, history, answers)
    for width in _widths(splits.dataset.timestamps[splits.training_events()]):
        both = by_user + scores(*training_sessions(splits, width))
        gain = _mean_gain(both, history, answers)
        if gain > best_gain:
            best, best_gain = Evidence(width, answers, history, both), gain
    return best


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
    most = max(min(_USERS_ASKED, dataset.num_users // 10), 1)
    last = last[:: max(-(-len(last) // most), 1)]
    lengths = last - np.searchsorted(users, users[last])
    rows = np.repeat(np.arange(len(last)), lengths)
    events = np.repeat(last - np.cumsum(lengths), lengths) + np.arange(len(rows))
    shape = (len(last), dataset.num_items + 1)
    return users[last], items[last], ones_at(rows, items[events], shape)


def _scores(history, sessions, by_candidate):
    """Returns the co-occurrence of the histories with all items: float32 [questions, items]."""
    scaled = sparse.diags_array(1 / np.maximum(sessions.sum(axis=1), 1)) @ sessions
    scores = np.empty(history.shape, np.float32)
    for start in range(0, len(scores), _USERS_AT_ONCE):
        some = slice(start, start + _USERS_AT_ONCE)
        # Dense, because a few long histories meet most sessions.
        scores[some] = (scaled.T @ (sessions @ history[some].T.toarray())).T
    return scores * by_candidate.astype(np.float32)


def _mean_gain(scores, history, answers):
    """Returns the mean NDCG of the answers among the items that the user has not touched."""
    rows = np.arange(len(answers))
    of_answers = scores[rows, answers]
    above = scores >= of_answers[:, None]
    above[history.nonzero()] = False
    above[:, 0] = above[rows, answers] = False
    return float(np.mean(1 / np.log2(2 + np.count_nonzero(above, axis=1))))
