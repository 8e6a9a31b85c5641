"""Counts of the training events for `hmar_keras.layers.LogMemory`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import optimize, sparse, special

from hmar_keras.layers import LogCounts
from hmar_keras.layers.log_memory import CANDIDATE_POWER, HISTORY_POWER
from pipelines.evaluation.sessions import Evidence, session_evidence
from pipelines.protocol.splits import Splits
from pipelines.protocol.training_counts import (
    item_conversion,
    target_rates,
    touched_items,
    training_sessions,
)

_PAIRS_AT_ONCE = 1 << 24  # half a gigabyte
_SMOOTHING = 1.0  # events added to each item's target events
_LEAST_STEP = 0.05  # between the scores of sets, so that nothing smaller reverses their order
_CURVE = 3.0  # k of `LogMemory` before training


def log_counts(splits: Splits, num_places: int) -> LogCounts:
    """Counts the training events.

    Args:
        splits: the split dataset, as the model sees it.
        num_places: pairs to keep per item, see `PairTable`.
    """
    touched = touched_items(splits)
    users = np.maximum(touched.sum(axis=0), 1)
    evidence = session_evidence(splits, users**-HISTORY_POWER, users**-CANDIDATE_POWER)
    sessions = [touched]
    if evidence.width:
        sessions.append(training_sessions(splits, evidence.width)[0])
    pairs = _best_pairs(sparse.vstack(sessions, format="csr"), users**-CANDIDATE_POWER, num_places)
    scale, highest = _fitted_scale(evidence)
    conversion = np.log(item_conversion(splits))
    conversion -= conversion[1:].mean()
    popularity = np.log(_target_counts(splits) + _SMOOTHING)
    return LogCounts(
        *pairs,
        users=users.astype(np.float32),
        popularity=(popularity - popularity[1:].mean()).astype(np.float32),
        conversion=(conversion / max(np.abs(conversion[1:]).max(), 1e-9)).astype(np.float32),
        sets=_set_scores(target_rates(splits), highest),
        scale=scale,
    )


def pair_blocks(sessions: sparse.csr_array) -> Iterator[tuple[int, sparse.csr_array]]:
    """Counts for all pairs of items the sum of 1 / len(session) over the sessions with both.

    Args:
        sessions: float32 [sessions, items], 1 for the items of a session.

    Yields:
        the number of an item, and float32 [some, items], the sums of this item (the first row) and
        those after it with every item.
    """
    lengths = sessions.sum(axis=1)
    pairs = sessions.T @ lengths  # per item, over all sessions
    blocks = (np.cumsum(pairs, dtype=np.float64) / _PAIRS_AT_ONCE).astype(int)
    columns = sparse.diags_array((1 / np.maximum(lengths, 1)).astype(np.float32)) @ sessions
    rows = sessions.tocsc()
    for block in np.unique(blocks):
        start, end = np.searchsorted(blocks, [block, block + 1])
        yield start, (rows[:, start:end].T @ columns).tocsr()


def _target_counts(splits):
    """Returns the training events of the target behaviour on each item, [num_items + 1]."""
    dataset = splits.dataset
    chosen = splits.training_events() & (dataset.behavior_ids == dataset.behaviors.target_id)
    return np.bincount(dataset.item_ids[chosen], minlength=dataset.num_items + 1)


def _best_pairs(sessions, by_candidate, num_places):
    """Returns ids and sums of the best pair at each place: [items, num_places] each."""
    num_items = sessions.shape[1]
    ids = np.zeros((num_items, num_places), np.int32)
    values = np.zeros((num_items, num_places), np.float32)
    for start, sums in pair_blocks(sessions):
        sums = sums.tocoo()
        items, candidates = sums.row + start, sums.col
        real = (items != candidates) & (candidates > 0) & (items > 0)
        items, candidates, shared = items[real], candidates[real], sums.data[real]
        # Later assignments win, so the best pair of a place is last; of equals, the lower id.
        order = np.lexsort((-candidates, shared * by_candidate[candidates]))
        items, candidates, shared = items[order], candidates[order], shared[order]
        ids[items, candidates % num_places] = candidates
        values[items, candidates % num_places] = shared
    return ids, values


def _set_scores(rates, highest):
    """Returns scores of sets of behaviours that order touched items like the simple rules.

    Sets whose items are targets more often than untouched items come first, the others last.

    Args:
        rates: float [sets], how often an item is the next target; of untouched items first.
        highest: the highest score of an untouched item.
    """
    logs = np.log(np.maximum(rates, 1e-9) / max(rates[0], 1e-9))
    order = np.argsort(logs, kind="stable")
    steps = np.arange(len(logs)) * _LEAST_STEP
    scores = np.empty(len(logs), np.float32)
    # The smallest increase that keeps the steps.
    scores[order] = np.maximum.accumulate(np.clip(logs, -10, 10)[order] - steps) + steps
    first = logs > 0
    if first.any():
        scores[first] += max(highest + 1 - scores[first].min(), 0)
    if not first.all():
        scores[~first] -= max(scores[~first].max() + 1, 0)
    return scores


def _fitted_scale(evidence: Evidence) -> tuple[float, float]:
    """Fits the scale of the evidence with which a softmax predicts the answers best.

    Returns:
        the scale, and the highest score of an item without a touch.
    """
    if not len(evidence.answers):
        return 1.0, 0.0
    rows = np.arange(len(evidence.answers))
    scores = evidence.scores.astype(np.float64)
    hidden = np.zeros(scores.shape)
    hidden[evidence.history.nonzero()] = -np.inf
    hidden[:, 0] = -np.inf

    def logits(log_scale):
        return _CURVE * np.log1p(scores * (math.exp(log_scale) / _CURVE)) + hidden

    def loss(log_scale):
        found = logits(log_scale)
        return np.mean(special.logsumexp(found, axis=1) - found[rows, evidence.answers])

    # Real logs stay far from the bounds; on tiny ones the optimum can be unbounded.
    best = optimize.minimize_scalar(loss, bounds=(-5, 8), method="bounded").x
    return math.exp(best), float(logits(best).max())
