"""Logs whose users and items are numbered from 0, with a separate list of test items.

The CSR form and the text form of a research release share this code, so that one log gives the
same dataset in both.
"""

from __future__ import annotations

import numpy as np

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError

# Every number up to the largest is an item, so one absurd number would fill the memory. The
# largest known catalogue of a release has 4.2 million items.
MOST_ITEMS = 20_000_000


def held_out_item_ids(
    label: str, tests, num_users: int | None = None, num_items: int | None = None
) -> np.ndarray:
    """Returns the item id of each user's test item, int32 [users], 0 where there is none.

    Args:
        label: the name of the list in messages.
        tests: one entry per user: None, or the item's 0-based number.
        num_users: the required number of entries, if known.
        num_items: exclusive upper bound of the item numbers, if known.

    Raises:
        InputError: if the list does not have this form.
    """
    is_list = isinstance(tests, list) or (isinstance(tests, np.ndarray) and tests.ndim == 1)
    if not is_list or num_users not in (None, len(tests)):
        users = "each user" if num_users is None else f"each of {num_users} users"
        raise InputError(f"{label} must be a list with one entry for {users}.")
    last = (MOST_ITEMS if num_items is None else num_items) - 1
    found = np.zeros(len(tests), np.int32)
    for row, item in enumerate(tests):
        if item is None:
            continue
        if isinstance(item, bool) or not isinstance(item, int | np.integer):
            raise InputError(f"{label}: entry {row} must be None or a whole number, got {item!r}.")
        if not 0 <= item <= last:
            raise InputError(f"{label}: entry {row} must be from 0 to {last}, got {item}.")
        found[row] = item + 1
    return found


def group_numbered(
    name: str,
    behaviors: Behaviors,
    repeats: bool,
    *,
    users: np.ndarray,
    item_ids: np.ndarray,
    behavior_ids: np.ndarray,
    timestamps: np.ndarray,
    held_out_items: np.ndarray,
    num_items: int,
) -> InteractionDataset:
    """Builds the dataset of all items and of the users that have an event or a test item.

    Users and items are named by their 0-based number.

    Args:
        name: name of the dataset.
        behaviors: the behaviours, weak to strong.
        repeats: whether an item that the user already knows may be the answer.
        users: int [events], 0-based numbers, ascending; a user's events are in their final order.
        item_ids: int [events], from 1.
        behavior_ids: int [events], from 1.
        timestamps: int [events].
        held_out_items: int32 [users], as returned by `held_out_item_ids`.
        num_items: size of the catalogue.

    Raises:
        InputError: if there is no event.
    """
    if not len(users):
        raise InputError(f"{name}: the log is empty; it must have at least one event.")
    counts = np.bincount(users, minlength=len(held_out_items))
    present = (counts > 0) | (held_out_items > 0)
    return InteractionDataset(
        name=name,
        behaviors=behaviors,
        repeats=repeats,
        users=np.flatnonzero(present).astype(str),
        items=np.arange(num_items).astype(str),
        offsets=np.concatenate([[0], np.cumsum(counts[present])]).astype(np.int64),
        item_ids=item_ids.astype(np.int32),
        behavior_ids=behavior_ids.astype(np.int32),
        timestamps=timestamps.astype(np.int64),
        held_out_items=held_out_items[present],
    )
