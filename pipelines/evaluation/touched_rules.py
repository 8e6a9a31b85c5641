"""Rules that rank what the user has touched, and after it the popular items.

Both group items by the set of the user's behaviours on them, such as viewed and carted, and order
the groups by how often one of their items was the next target in training (`target_rates`). Bought
items come first where people buy the same things again. A group whose items are targets no more
often than untouched ones, such as the films that a user has rated, goes behind the untouched items.
"""

from __future__ import annotations

import numpy as np

from hmar_keras.schema import behavior_bits
from pipelines.protocol.questions import history_events
from pipelines.protocol.splits import EvaluationSet, Splits
from pipelines.protocol.training_counts import item_conversion, item_popularity, target_rates


class RecencyByBehavior:
    """Newest first among the items of the first group, then of the next, then the popular."""

    def __init__(self, splits: Splits):
        self._dataset = splits.dataset
        self._popularity = item_popularity(splits).astype(np.float32)
        rates = target_rates(splits)
        self._places = np.argsort(np.argsort(rates, kind="stable"))
        self._comes_back = rates > rates[0]

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Returns scores, float32 [questions, num_items + 1]."""
        scores = np.tile(self._popularity, (len(questions), 1))
        rows, items, sets, ages = touched_sets(self._dataset, questions)
        order = np.lexsort((*self._within(items, ages), self._places[sets], rows))
        rows, items, sets = rows[order], items[order], sets[order]
        first = np.searchsorted(rows, rows)
        counts = np.bincount(rows, minlength=len(questions))[rows]
        places = np.arange(len(rows)) - first  # the best is the last
        # Popularity is at least 0 and less than 1.
        scores[rows, items] = np.where(self._comes_back[sets], 1 + places, places - counts)
        return scores

    def _within(self, items, ages):
        """Returns the sort keys within a group, the least important first."""
        return (-ages,)


class TouchedByConversion(RecencyByBehavior):
    """Most purchases per view first among the items of the first group, then of the next.

    Ties go by recency. After what the user has touched come the popular items. Conversion is
    smoothed: (users with the target + 0.5) / (users with the weakest behaviour + 20).
    """

    def __init__(self, splits: Splits):
        super().__init__(splits)
        self._conversion = item_conversion(splits)

    def _within(self, items, ages):
        return -ages, self._conversion[items]


def touched_sets(dataset, questions):
    """Returns what the user of each question has done to each item of the history, and when.

    Returns:
        int [pairs] each: rows of the questions; item ids; sets of behaviours, see `target_rates`;
        and ages of the last event of the strongest behaviour, in events from 0, the newest.
    """
    rows, events = history_events(questions)
    items, behaviors = dataset.item_ids[events], dataset.behavior_ids[events]
    order = np.lexsort((events, behaviors, items, rows))
    rows, items, behaviors, events = rows[order], items[order], behaviors[order], events[order]
    last = np.ones(len(rows), bool)
    last[:-1] = (rows[1:] != rows[:-1]) | (items[1:] != items[:-1])
    first = np.flatnonzero(np.append(True, last[:-1])) if len(rows) else np.zeros(0, np.int64)
    bits = np.array(behavior_bits(len(dataset.behaviors)))[behaviors]
    sets = np.bitwise_or.reduceat(bits, first) if len(rows) else bits
    rows, items, events = rows[last], items[last], events[last]
    return rows, items, sets, questions.ends[rows] - 1 - events
