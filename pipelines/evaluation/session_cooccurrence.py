"""Items that share users and, more, sessions with the items of the history."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pipelines.evaluation.touched_rules import touched_sets
from pipelines.protocol.sessions import CountedSessions, item_factors
from pipelines.protocol.splits import EvaluationSet, Splits
from pipelines.protocol.training_counts import (
    item_popularity,
    ones_at,
    target_rates,
    touched_items,
)

_PAIRS_KEPT = 1 << 26  # half a gigabyte


class SessionCooccurrence:
    """Items that the training sessions put beside the items of the history.

    The score of item i is the sum, over the different items j of the history and the sessions s
    with both, of 1 / (len(s) n_j^0.7 n_i^0.3), where n is an item's number of users and len(s) the
    number of different items. A user's training events are one long session; beside it stand the
    sessions of `session_evidence`, if there are any. An item is not beside itself. Items
    beside none of the history go by popularity. Touched items of a group that does not come back
    (`touched_rules`) are last.

    On a large log only the greatest terms of each j are kept, as many as fit into half a gigabyte.

    Args:
        splits: the split dataset.
        width: length of a session's bucket of time, in the unit of the log's times; 0 for users
            alone. By default it is measured in training.
    """

    def __init__(self, splits: Splits, width: int | None = None):
        touched = touched_items(splits)
        self._dataset = splits.dataset
        self._terms = _terms(CountedSessions.of(splits, touched, width), *item_factors(touched))
        rates = target_rates(splits)
        self._comes_back = rates > rates[0]
        # Far below all terms: popularity is less than 1.
        self._popularity = (1e-9 * item_popularity(splits)).astype(np.float32)

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Returns scores, float32 [questions, num_items + 1]."""
        rows, items, sets, _ = touched_sets(self._dataset, questions)
        history = ones_at(rows, items, (len(questions), len(self._popularity)))
        scores = (history @ self._terms).toarray() + self._popularity
        gone = ~self._comes_back[sets]
        scores[rows[gone], items[gone]] = -1
        return scores


def _terms(sessions, by_history, by_candidate):
    """Returns what each item of a history (rows) adds to the score of each other item (columns).

    Args:
        sessions: the sessions of training.
        by_history: float [items], factors of the rows.
        by_candidate: float [items], factors of the columns.

    Returns:
        float32 [items, items], sparse.
    """
    kept = max(_PAIRS_KEPT // len(by_candidate), 1)
    found = []
    for start, sums in sessions.pairs():
        rows = _diagonal(by_history[start : start + sums.shape[0]])
        terms = (rows @ sums @ _diagonal(by_candidate)).tocsr()
        found.append(_greatest(terms, start, kept))
    return sparse.vstack(found, format="csr")


def _greatest(terms, start, kept):
    """Keeps the `kept` greatest terms of each row, without an item's own.

    Args:
        terms: float32 [rows, items], sparse, in CSR form.
        start: id of the first row's item.
        kept: how many terms to keep per row.
    """
    rows = np.repeat(np.arange(terms.shape[0]), np.diff(terms.indptr))
    terms.data[terms.indices == rows + start] = 0
    for row in np.flatnonzero(np.diff(terms.indptr) > kept):
        values = terms.data[terms.indptr[row] : terms.indptr[row + 1]]
        values[np.argpartition(values, -kept)[:-kept]] = 0
    terms.eliminate_zeros()
    return terms


def _diagonal(factors):
    return sparse.diags_array(factors.astype(np.float32))
