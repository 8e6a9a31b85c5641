"""The histories and candidates of questions, as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS, TIMESTAMPS, USER_IDS
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.negatives import ExcludedItems, sample_distinct, sample_weighted
from pipelines.protocol.splits import EvaluationSet

EVALUATION_NEGATIVES = 99  # the paper's protocol


def newest_events(xp, starts, ends, ages):
    """Finds the newest events of histories: the newest on the right, padding on the left.

    Args:
        xp: the module of the arrays: `numpy`, `jax.numpy` or `tensorflow`.
        starts: int `[rows]`; a history is the events `starts[i]:ends[i]`.
        ends: int `[rows]`.
        ages: int `[length]`, descending to 1: how many events before the end each place is.

    Returns:
        int `[rows, length]`, the event at each place, and bool of the same shape, whether the
        history has it. Where it does not, the event is the history's first, if there is one.
    """
    events = ends[:, None] - ages
    first = xp.maximum(xp.minimum(starts, ends - 1), 0)
    return xp.maximum(events, first[:, None]), events >= starts[:, None]


def since_first(xp, times, real):
    """Returns how long after the first event of its row each event is, 0 for padding.

    Args:
        xp: `numpy` or `tensorflow`.
        times: int64 `[rows, length]`, the times of the events that `newest_events` returned.
        real: bool of the same shape, as `newest_events` returned it.
    """
    return xp.where(real, times - times[:, :1], 0)


def history_features(
    dataset: InteractionDataset,
    questions: EvaluationSet,
    length: int,
    names: Sequence[str] = (ITEM_IDS, BEHAVIOR_IDS),
) -> dict[str, np.ndarray]:
    """Returns what a model reads of each question's history: the newest events, left-padded.

    Args:
        dataset: the dataset of the questions.
        questions: the validation or test questions.
        length: number of events per question.
        names: names of features, which `hmar_keras.schema.FEATURES` describes.

    Returns:
        arrays by name, int32 or float32 [questions, length]; `user_ids` is int32 [questions].
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


def history_events(questions: EvaluationSet) -> tuple[np.ndarray, np.ndarray]:
    """Returns all (question, event) pairs of the full histories, oldest first: two int64 arrays.

    Events are counted through the whole dataset.
    """
    lengths = questions.ends - questions.starts
    rows = np.repeat(np.arange(len(questions)), lengths)
    first = np.repeat(questions.starts - (np.cumsum(lengths) - lengths), lengths)
    return rows, first + np.arange(len(rows))


def history_items(
    dataset: InteractionDataset, questions: EvaluationSet
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all (question, item) pairs of the full histories as two int64 arrays.

    Pairs may repeat.
    """
    rows, events = history_events(questions)
    return rows, dataset.item_ids[events].astype(np.int64)


def strongest_behaviors(
    dataset: InteractionDataset, questions: EvaluationSet
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns every item of the full histories once, with its strongest behaviour there.

    Behaviours are ordered from weak to strong, so the strongest has the highest id.

    Returns:
        int64 [pairs] each: rows of questions, ascending, item ids, ascending in each row, and
        behaviour ids.
    """
    rows, events = history_events(questions)
    pairs = rows * dataset.num_items + dataset.item_ids[events] - 1
    size = len(dataset.behaviors) + 1
    pairs, strongest = np.divmod(np.unique(pairs * size + dataset.behavior_ids[events]), size)
    last = np.diff(pairs, append=-1) != 0
    rows, items = np.divmod(pairs[last], dataset.num_items)
    return rows, items + 1, strongest[last]


def evaluation_candidates(
    dataset: InteractionDataset, questions: EvaluationSet, seed: int, weights=None
) -> np.ndarray:
    """Returns each question's positive and 99 different random items outside the user's history.

    Args:
        dataset: the dataset of the questions.
        questions: the validation or test questions.
        seed: seed of the draw.
        weights: float [num_items + 1] by item id; the higher, the more often an item is drawn.
            None for a uniform draw.

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
