"""Baselines that any model must beat to be worth serving. They learn from training events alone."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pipelines.evaluation.evaluator import Scorer
from pipelines.protocol.questions import history_items
from pipelines.protocol.splits import EvaluationSet, Splits
from pipelines.protocol.training_counts import item_popularity, touched_items


def baselines(splits: Splits) -> dict[str, Scorer]:
    """Returns all baselines, by their names in tables."""
    return {
        "popularity": Popularity(splits),
        "repeat your history": RepeatHistory(splits),
        "item co-occurrence": ItemCooccurrence(splits),
    }


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


class ItemCooccurrence:
    """Items whose users overlap with those of the items in the history (cosine)."""

    def __init__(self, splits: Splits):
        dataset, touched = splits.dataset, touched_items(splits)
        length = np.sqrt(np.maximum(np.asarray(touched.sum(axis=0)).ravel(), 1))
        touched = touched @ sparse.diags_array(1 / length).astype(np.float32)
        similarity = (touched.T @ touched).tocsr()
        similarity.setdiag(0)  # an item does not count as similar to itself
        self._dataset = dataset
        self._similarity = similarity
        self._popularity = item_popularity(splits).astype(np.float32)

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Returns scores, float32 [questions, num_items + 1]."""
        rows, items = history_items(self._dataset, questions)
        shape = (len(questions), self._dataset.num_items + 1)
        history = sparse.csr_array((np.ones(len(rows), np.float32), (rows, items)), shape)
        history.data[:] = 1
        scores = (history @ self._similarity).toarray()
        return scores + 1e-6 * self._popularity  # orders items without any co-occurrence
