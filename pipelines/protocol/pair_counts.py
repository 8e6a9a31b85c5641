"""Counts what users did to an item before a target event on it, and whether they come back."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from pipelines.datasets.interaction_dataset import InteractionDataset

_BLOCK = 1 << 20  # events sorted at once


@dataclasses.dataclass(frozen=True)
class PairCounts:
    """Counts over the pairs of a user and an item. Row `b - 1` is behaviour id `b`.

    "Before" and "after" mean earlier and later in the user's order. Among events of equal time,
    that order depends on the tie rule. An item is *at* the user's strongest behaviour on it so far.

    Args:
        targets: number of target events.
        returned: int64 [behaviors], target events on an item that was at the behaviour.
        asked: int64 [behaviors], target events whose user had any item at the behaviour.
        chances: int64 [behaviors], how many items those users had at the behaviour, summed over the
            target events.
        preceded: int64 [behaviors], target events whose item had the behaviour before. One event
            may count for several behaviours.
        pairs: int64 [behaviors], pairs with the behaviour.
        followed: int64 [behaviors], pairs with a target event after their first event of the
            behaviour.
        users_by_item: int64 [num_items + 1], how many users touched each item, by item id.
    """

    targets: int
    returned: np.ndarray
    asked: np.ndarray
    chances: np.ndarray
    preceded: np.ndarray
    pairs: np.ndarray
    followed: np.ndarray
    users_by_item: np.ndarray


def count_pairs(dataset: InteractionDataset, ends: np.ndarray | None = None) -> PairCounts:
    """Counts in blocks of users, because small sorts are fast and need little memory.

    Args:
        dataset: the dataset.
        ends: int64 [users], where the events to count end for each user, e.g. `Splits.train_ends`;
            None for all events.
    """
    ends = dataset.offsets[1:] if ends is None else ends
    blocks = np.searchsorted(dataset.offsets, np.arange(0, dataset.num_events, _BLOCK))
    blocks = np.unique([0, *blocks, dataset.num_users])
    counts = []
    for first, last in itertools.pairwise(blocks):
        begin, end = dataset.offsets[first], dataset.offsets[last]
        users = np.repeat(np.arange(last - first), np.diff(dataset.offsets[first : last + 1]))
        chosen = np.arange(begin, end) < ends[first:last][users]
        items, behaviors = dataset.item_ids[begin:end], dataset.behavior_ids[begin:end]
        some = users[chosen], items[chosen], behaviors[chosen].astype(np.int64)
        counts.append(_fields(_count(*some, dataset)))
    return _sum(counts)


def _sum(counts):
    return PairCounts(*map(sum, zip(*counts, strict=True)))


def _fields(counts):
    return [getattr(counts, field.name) for field in dataclasses.fields(counts)]


def _count(users, items, behaviors, dataset):
    """Counts the pairs of some users, whose rows ascend and whose events are in time order."""
    size, rows = dataset.num_items + 1, range(1, len(dataset.behaviors) + 1)
    pairs = users * size + items
    order = np.argsort(pairs, kind="stable")
    opens = np.diff(pairs[order], prepend=-1) != 0
    groups = np.cumsum(opens) - 1
    sorted_behaviors = behaviors[order]

    # Of several assignments to one element, NumPy keeps the last.
    targets = np.flatnonzero(sorted_behaviors == dataset.behaviors.target_id)
    num_pairs = np.count_nonzero(opens)
    last_target = np.full(num_pairs, -1)
    last_target[groups[targets]] = targets
    preceded, with_behavior, followed = [], [], []
    for behavior in rows:
        found = np.flatnonzero(sorted_behaviors == behavior)[::-1]
        first = np.full(num_pairs, len(order))
        first[groups[found]] = found
        preceded.append(np.count_nonzero(targets > first[groups[targets]]))
        with_behavior.append(np.count_nonzero(first < len(order)))
        followed.append(np.count_nonzero(last_target > first))

    before, after = _strongest(sorted_behaviors, groups, opens, order)
    is_target = behaviors == dataset.behaviors.target_id
    first_events = np.searchsorted(users, users[is_target])
    asked, chances = [], []
    for behavior in rows:
        change = (after == behavior).astype(np.int64) - (before == behavior)
        until = np.cumsum(change) - change
        held = until[is_target] - until[first_events]
        asked.append(np.count_nonzero(held))
        chances.append(held.sum())
    return PairCounts(
        len(targets),
        np.bincount(before[is_target], minlength=len(rows) + 1)[1:],
        *map(np.array, (asked, chances, preceded, with_behavior, followed)),
        np.bincount(items[order][opens], minlength=size),
    )


def _strongest(behaviors, groups, opens, order):
    """Returns, in time order, the user's strongest behaviour on each event's item around it.

    Args:
        behaviors: int64 [events], sorted by pair.
        groups: int64 [events], the row of the pair, ascending.
        opens: bool [events], whether the event is its pair's first.
        order: int64 [events], the places in time order.

    Returns:
        int64 [events], before the event, 0 if there is none; and int64 [events], with the event.
    """
    base = groups * (behaviors.max(initial=0) + 1)
    so_far = np.maximum.accumulate(base + behaviors) - base
    before, after = np.empty_like(so_far), np.empty_like(so_far)
    before[order] = np.where(opens, 0, np.concatenate([[0], so_far[:-1]]))
    after[order] = so_far
    return before, after
