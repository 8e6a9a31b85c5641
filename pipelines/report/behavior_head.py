"""How well the behaviour head (Eq. 16) predicts the next behaviour, and its calibration."""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops

from pipelines.protocol.splits import EvaluationSet, event_users
from pipelines.report.opened_run import OpenedRun

MOST_EVENTS = 10_000
_BATCH = 512
_BINS = 10


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Predictions in bins of confidence, each 0.1 wide; empty bins are left out.

    Args:
        confidence: float [bins], mean probability of the predicted behaviour.
        accuracy: float [bins], share of correct predictions.
        counts: int [bins], number of predictions.
        error: the expected calibration error, the mean gap between confidence and accuracy.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray
    error: float


@dataclasses.dataclass(frozen=True)
class BehaviorPredictions:
    """The head's predictions for events that training never saw.

    Args:
        truth: int [events], behaviour ids minus one.
        probabilities: float [events, K].
        held_out: how many such events there are; `[events]` of them are drawn.
    """

    truth: np.ndarray
    probabilities: np.ndarray
    held_out: int

    @property
    def predicted(self) -> np.ndarray:
        """int [events]: the most probable behaviour id minus one."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of the events whose behaviour is predicted correctly."""
        return float(np.mean(self.predicted == self.truth))

    def confusion(self) -> np.ndarray:
        """Counts events by true and predicted behaviour: int [K, K]."""
        count = self.probabilities.shape[1]
        cells = self.truth * count + self.predicted
        return np.bincount(cells, minlength=count * count).reshape(count, count)

    def reliability(self) -> Reliability:
        """Compares confidence and accuracy, by bins of confidence."""
        confidence = self.probabilities.max(axis=1)
        right = self.predicted == self.truth
        bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        counts = np.bincount(bins, minlength=_BINS)
        filled = counts > 0
        sums = [np.bincount(bins, values, _BINS)[filled] for values in (confidence, right)]
        counts = counts[filled]
        sure, accurate = (total / counts for total in sums)
        error = float(np.sum(counts * np.abs(sure - accurate)) / counts.sum())
        return Reliability(sure, accurate, counts, error)


def held_out_events(run: OpenedRun) -> np.ndarray:
    """Returns the events that training never saw and that have a history: int64 [events]."""
    events = np.flatnonzero(~run.splits.training_events())
    starts = run.dataset.offsets[event_users(run.dataset)[events]]
    return events[events > starts]


def predict_behaviors(run: OpenedRun) -> BehaviorPredictions:
    """Predicts the behaviours of held-out events from their histories and items."""
    events = held_out_events(run)
    held_out = len(events)
    if held_out > MOST_EVENTS:
        rng = np.random.default_rng(run.seed)
        events = np.sort(rng.choice(events, MOST_EVENTS, replace=False))
    dataset = run.dataset
    users = event_users(dataset)[events]
    starts, items = dataset.offsets[users], dataset.item_ids[events]
    questions = EvaluationSet(users, starts, events, items)
    logits = [
        _logits(run, questions.take(slice(row, row + _BATCH)))
        for row in range(0, len(events), _BATCH)
    ]
    logits = np.concatenate(logits).astype(np.float64)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return BehaviorPredictions(dataset.behavior_ids[events] - 1, probabilities, held_out)


def _logits(run, questions):
    """Computes the behaviour logits: float32 [questions, K]."""
    candidates = ops.convert_to_tensor(questions.positives[:, None])
    read = run.model.read(run.histories(questions))
    logits = run.model.behavior_logits(read, candidates)
    return ops.convert_to_numpy(logits)[:, 0]
