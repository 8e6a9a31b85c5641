"""Counts of the training events: who touched what and how often, and what users did next."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from hmar_keras.schema import behavior_bits
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.splits import Splits, event_users

# What is added to the users of an item before their ratio: few users prove little.
_TARGET_USERS = 0.5
_WEAK_USERS = 20
_USUAL_CHANCES = 100  # of a set, at the rate of its strongest behaviour


def touched_items(splits: Splits) -> sparse.csr_array:
    """Returns which users touched which items in training: 1 at `[user, item id]`, however often.

    Returns:
        float32 [users, num_items + 1].
    """
    dataset: InteractionDataset = splits.dataset
    trained = splits.training_events()
    users, items = event_users(dataset)[trained], dataset.item_ids[trained]
    return ones_at(users, items, (dataset.num_users, dataset.num_items + 1))


def ones_at(rows: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """Returns a sparse matrix, float32 of `shape`, with 1 at `[rows, items]`; pairs may repeat."""
    matrix = sparse.csr_array((np.ones(len(rows), np.float32), (rows, items)), shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def item_popularity(splits: Splits) -> np.ndarray:
    """Returns how often each item got the target behaviour in training, scaled to less than 1.

    Ties are broken by the number of events of any behaviour.

    Returns:
        float64 [num_items + 1] by item id, in [0, 1).
    """
    dataset = splits.dataset
    items = dataset.item_ids[splits.training_events()]
    events = np.bincount(items, minlength=dataset.num_items + 1).astype(np.float64)
    counts = target_events(splits) + events / (events.max() + 1)
    return counts / (counts.max() + 1)


def target_events(splits: Splits) -> np.ndarray:
    """Returns how often each item got the target behaviour in training: int64 [num_items + 1]."""
    dataset = splits.dataset
    trained = splits.training_events()
    on_target = trained & (dataset.behavior_ids == dataset.behaviors.target_id)
    return np.bincount(dataset.item_ids[on_target], minlength=dataset.num_items + 1)


def item_conversion(splits: Splits) -> np.ndarray:
    """Returns how often each item is bought per view, smoothed.

    That is (users with the target behaviour + 0.5) / (users with the weakest behaviour + 20), so an
    item with few views does not come first for a single purchase.

    Returns:
        float64 [num_items + 1] by item id.
    """
    behaviors = splits.dataset.behaviors
    targets, views = (_users_by_item(splits, id) for id in (behaviors.target_id, 1))
    return (targets + _TARGET_USERS) / (views + _WEAK_USERS)


def _users_by_item(splits, behavior):
    """Returns how many users have an event of the behaviour on each item in training."""
    dataset = splits.dataset
    chosen = splits.training_events() & (dataset.behavior_ids == behavior)
    size = dataset.num_items + 1
    pairs = event_users(dataset)[chosen] * size + dataset.item_ids[chosen]
    return np.bincount(np.unique(pairs) % size, minlength=size)


def training_sessions(splits: Splits, width: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Returns which items stand together in the sessions of training.

    A session is what a user touched in one bucket of time. Sessions of a single item are left out.

    Args:
        splits: the split dataset.
        width: length of a bucket, in the unit of the log's times.

    Returns:
        float32 [sessions, num_items + 1], 1 at `[session, item id]`, however often; and int64
        [sessions], the users' rows.
    """
    dataset = splits.dataset
    trained = splits.training_events()
    users, items = event_users(dataset)[trained], dataset.item_ids[trained]
    buckets = dataset.timestamps[trained] // width
    order = np.lexsort((buckets, users))  # fast, because most events are in order
    users, buckets, items = users[order], buckets[order], items[order]
    opens = np.diff(users, prepend=-1) != 0
    opens[1:] |= buckets[1:] != buckets[:-1]
    sessions = np.cumsum(opens) - 1
    touched = ones_at(sessions, items, (np.count_nonzero(opens), dataset.num_items + 1))
    shared = np.diff(touched.indptr) > 1
    return touched[shared], users[opens][shared]


def target_rates(splits: Splits) -> np.ndarray:
    """Returns how often an item is the user's next target, by what the user did to it before.

    At each training event of the target behaviour, every item of the catalogue is a chance for the
    set of behaviours that the user has done to it so far, and the item of the event is a hit. The
    rate of a set is hits per chance. In a shop where people buy things again, it is high for bought
    items; where nobody rates a film twice, it is 0 for rated ones.

    A set is the sum of the different `hmar_keras.schema.behavior_bits` of its behaviours, so with
    more than six behaviours the weakest ones count as one. Every set gets 100 additional chances at
    the rate of all sets with the same strongest behaviour, because few chances prove little.

    Returns:
        float64 [sets] by set, that of untouched items first.
    """
    dataset = splits.dataset
    trained = splits.training_events()
    users, behaviors = event_users(dataset)[trained], dataset.behavior_ids[trained]
    all_bits = np.array(behavior_bits(len(dataset.behaviors)))
    bits, size = all_bits[behaviors], 2 * all_bits.max()
    before = _sets_before(users, dataset.item_ids[trained], bits)
    targets = behaviors == dataset.behaviors.target_id
    hits = np.bincount(before[targets], minlength=size)
    # An event moves its item to another set for all later targets of the user.
    so_far = np.cumsum(targets)
    later = so_far[np.searchsorted(users, users, side="right") - 1] - so_far
    chances = np.bincount(before | bits, later, size) - np.bincount(before, later, size)
    chances[0] += np.count_nonzero(targets) * dataset.num_items
    sets = np.arange(size)
    strongest = np.where(sets, np.frexp(sets)[1], 0)  # the place of the highest bit
    prior = np.bincount(strongest, hits) / np.maximum(np.bincount(strongest, chances), 1)
    return (hits + _USUAL_CHANCES * prior[strongest]) / (chances + _USUAL_CHANCES)


def _sets_before(users, items, bits):
    """Returns the set so far of each event's user on its item, 0 if there is none.

    Args:
        users: int [events], ascending; each user's events are in time order.
        items: int [events].
        bits: int [events], the bit of each event's behaviour.
    """
    order = np.lexsort((items, users))  # stable, so a pair's events stay in time order
    users, items, bits = users[order], items[order], bits[order]
    opens = np.ones(len(order), bool)
    opens[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    base = np.cumsum(opens)
    sets = np.zeros(len(order), np.int64)
    for bit in np.unique(bits):
        so_far = np.maximum.accumulate(base + (bits == bit)) - base
        sets[1:] |= bit * so_far[:-1]
    before = np.empty(len(order), np.int64)
    before[order] = np.where(opens, 0, sets)
    return before
