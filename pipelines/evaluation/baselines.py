"""Simple rules that any model must beat to be worth serving.

They count training events and learn nothing. Their few constants are the same for every log.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.evaluation.evaluator import Scorer
from pipelines.evaluation.session_cooccurrence import SessionCooccurrence
from pipelines.evaluation.touched_rules import RecencyByBehavior, TouchedByConversion
from pipelines.protocol.questions import history_items
from pipelines.protocol.splits import EvaluationSet, Splits
from pipelines.protocol.training_counts import item_popularity


def baselines(splits: Splits) -> dict[str, Scorer]:
    """Returns all baselines, by their names in tables."""
    return {
        "popularity": Popularity(splits),
        "repeat your history": RepeatHistory(splits),
        "recency by behaviour": RecencyByBehavior(splits),
        "touched, by conversion": TouchedByConversion(splits),
        "session co-occurrence": SessionCooccurrence(splits),
    }


def best_rule(
    results: Mapping[str, Mapping[str, Mapping[str, float]]], protocol: str, metric: str = "ndcg@10"
) -> str | None:
    """Returns the rule that a model has to beat under a protocol; the first of equals.

    Args:
        results: `results[scorer][protocol][metric]`, the model first, then the rules.
        protocol: the protocol.
        metric: the metric.

    Returns:
        its name, or None if there are no rules.
    """
    rules = list(results)[1:]
    return max(rules, key=lambda rule: results[rule][protocol][metric], default=None)


class Popularity:
    """The same list for everybody, most popular first."""

    def __init__(self, splits: Splits):
        self._scores = item_popularity(splits).astype(np.float32)

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Returns scores, float32 [questions, num_items + 1]."""
        return np.broadcast_to(self._scores, (len(questions), len(self._scores)))


class RepeatHistory:
    """The items of the user's history, newest first, and then the popular ones."""

    def __init__(self, splits: Splits):
        self._dataset = splits.dataset
        self._popularity = item_popularity(splits).astype(np.float32)

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Returns scores, float32 [questions, num_items + 1]."""
        scores = np.tile(self._popularity, (len(questions), 1))
        rows, items = history_items(self._dataset, questions)
        # Later assignments win, so an item touched twice has the score of its last event.
        scores[rows, items] = 1 + np.arange(len(rows)) - np.searchsorted(rows, rows)
        return scores
