"""Counts of the training events for `hmar_keras.layers.LogMemory`."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, special

from hmar_keras.layers import LogCounts
from hmar_keras.layers.log_memory import CURVE
from pipelines.protocol.sessions import CountedSessions, Evidence, item_factors, session_evidence
from pipelines.protocol.splits import Splits
from pipelines.protocol.training_counts import (
    item_conversion,
    target_events,
    target_rates,
    touched_items,
)

_SMOOTHING = 1.0  # events added to each item's target events
_LEAST_STEP = 0.05  # between the scores of sets, so that nothing smaller reverses their order


def log_counts(splits: Splits, num_places: int) -> LogCounts:
    """Counts the training events.

    Args:
        splits: the split dataset, as the model sees it.
        num_places: pairs to keep per item, see `PairTable`.
    """
    touched = touched_items(splits)
    _, by_candidate = item_factors(touched)
    sessions = CountedSessions.of(splits, touched)
    scale, highest = _fitted_scale(session_evidence(splits, touched))
    conversion = np.log(item_conversion(splits))
    conversion -= conversion[1:].mean()
    popularity = np.log(target_events(splits) + _SMOOTHING)
    return LogCounts(
        *_best_pairs(sessions, by_candidate, num_places),
        users=np.maximum(touched.sum(axis=0), 1),
        popularity=(popularity - popularity[1:].mean()).astype(np.float32),
        conversion=(conversion / max(np.abs(conversion[1:]).max(), 1e-9)).astype(np.float32),
        sets=_set_scores(target_rates(splits), highest),
        scale=scale,
    )


def _best_pairs(sessions, by_candidate, num_places):
    """Returns ids and sums of the best pair at each place, and the scores of the second best.

    Returns:
        [items, num_places] each.
    """
    size = len(by_candidate) * num_places
    ids, values = np.zeros(size, np.int32), np.zeros(size, np.float32)
    rivals = np.zeros(size, np.float32)
    for start, sums in sessions.pairs():
        rows, candidates = np.repeat(np.arange(sums.shape[0]), np.diff(sums.indptr)), sums.indices
        scores = sums.data * by_candidate[candidates]
        scores[candidates == rows + start] = 0  # an item has no pair with itself
        places = rows * num_places + candidates % num_places
        best = np.zeros(sums.shape[0] * num_places, scores.dtype)
        np.maximum.at(best, places, scores)
        kept = np.flatnonzero((scores == best[places]) & (scores > 0))
        # Later assignments win, so of equals the lower id is last.
        kept = kept[np.argsort(-candidates[kept])]
        first = start * num_places
        ids[first + places[kept]] = candidates[kept]
        values[first + places[kept]] = sums.data[kept]
        scores[candidates == ids[first + places]] = 0
        np.maximum.at(rivals[first:], places, scores)
    return (each.reshape(-1, num_places) for each in (ids, values, rivals))


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
    if not len(evidence.of_answers):
        return 1.0, 0.0
    powers = np.arange(evidence.power_sums.shape[1])
    binomials = special.binom(CURVE, powers)
    of_answers = evidence.of_answers.astype(np.float64)

    def loss(log_scale):
        # exp(CURVE log(1 + step y)) = (1 + step y)^CURVE, so its sum over the items is a sum of
        # power sums of y, without another pass over the scores.
        step = math.exp(log_scale) / CURVE
        total = evidence.power_sums @ (binomials * step**powers)
        return np.mean(np.log(total) - CURVE * np.log1p(step * of_answers))

    # Real logs stay far from the bounds; on tiny ones the optimum can be unbounded.
    scale = math.exp(optimize.minimize_scalar(loss, bounds=(-5, 8), method="bounded").x)
    return scale, CURVE * math.log1p(float(evidence.highest.max()) * scale / CURVE)
