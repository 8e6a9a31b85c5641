"""What a question shows: histories and candidates, as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS, TIMESTAMPS, USER_IDS
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.negatives import ExcludedItems, sample_distinct, sample_weighted
from pipelines.protocol.splits import EvaluationSet

EVALUATION_NEGATIVES = 99  # the paper's protocol


def newest_events(xp, starts, ends, ages):
    """Where the newest events of histories stand: the newest on the right, padding on the left.

    Args:
        xp: `numpy`, `jax.numpy` or `tensorflow`, what the arrays are of.
        starts: int `[rows]`; a history is the events `starts[i]:ends[i]`.
        ends: int `[rows]`.
        ages: int `[length]`, falling to 1: how many events before the end each place shows.

    Returns:
        int `[rows, length]`, an event of each place, and bool of the same shape, whether the
        history has it; where it has not the event is the history's first, if it has one.
    """
    events = ends[:, None] - ages
    first = xp.maximum(xp.minimum(starts, ends - 1), 0)
    return xp.maximum(events, first[:, None]), events >= starts[:, None]


def since_first(xp, times, real):
    """How long after the first event of its history each event was, 0 where there is none.

    Args:
        xp: `numpy` or `tensorflow`.
        times: int64 `[rows, length]`, of the events of `newest_events`.
        real: bool of the same shape, as of `newest_events`.
    """
    return xp.where(real, times - times[:, :1], 0)


def history_features(
    dataset: InteractionDataset,
    questions: EvaluationSet,
    length: int,
    names: Sequence[str] = (ITEM_IDS, BEHAVIOR_IDS),
) -> dict[str, np.ndarray]:
    """What a model reads of each question's history: the most recent events, left-padded.

    Args:
        dataset: what the questions are about.
        questions: validation or test.
        length: so many events.
        names: of `hmar_keras.schema.FEATURES`, which says what they are.

    Returns:
        by name, int32 or float32 [questions, length]; `user_ids` int32 [questions].
    """
    ages = np.arange(length, 0, -1)
    events, real = newest_events(np, questions.starts, questions.ends, ages)
    made = {
        ITEM_IDS: lambda: np.where(real, dataset.item_ids[events], 0),
        BEHAVIOR_IDS: lambda: np.where(real, dataset.behavior_ids[events], 0),
        USER_IDS: lambda: (questions.users + 1).astype(np.int32),
        TIMESTAMPS: lambda: since_first(np, dataset.timestamps[events], real).astype(np.float32),
    }
    return {name: made[name]() for name in names}


def history_items(
    dataset: InteractionDataset, questions: EvaluationSet
) -> tuple[np.ndarray, np.ndarray]:
    """Every (question, item) pair of the whole histories, as two int64 arrays; pairs may repeat."""
    lengths = questions.ends - questions.starts
    rows = np.repeat(np.arange(len(questions)), lengths)
    first = np.repeat(questions.starts - (np.cumsum(lengths) - lengths), lengths)
    return rows, dataset.item_ids[first + np.arange(len(rows))].astype(np.int64)


def evaluation_candidates(
    dataset: InteractionDataset, questions: EvaluationSet, seed: int, weights=None
) -> np.ndarray:
    """The positive and 99 different random items outside the user's history.

    Args:
        dataset: what the questions are about.
        questions: validation or test.
        seed: of the draw.
        weights: float [num_items + 1] by item id, to draw an item the more often the higher;
            None to draw all alike.

    Returns:
        int32 [questions, 100], the positive first; fewer columns if some user has fewer than 99
        untouched items.
    """
    rows, items = history_items(dataset, questions)
    rows = np.concatenate([rows, np.arange(len(questions))])
    items = np.concatenate([items, questions.positives])
    if weights is None:
        excluded = ExcludedItems.from_pairs(rows, items, len(questions), dataset.num_items)
        negatives = sample_distinct(excluded, EVALUATION_NEGATIVES, seed)
    else:
        count = len(questions)
        negatives = sample_weighted(rows, items, count, weights, EVALUATION_NEGATIVES, seed)
    return np.concatenate([questions.positives[:, None], negatives], axis=1)
