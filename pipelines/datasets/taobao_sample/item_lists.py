"""Reads lists of items by user: one line per user, `user item item ...`, numbered from 0."""

from __future__ import annotations

import numpy as np

from pipelines.datasets.numbered_log import MOST_ITEMS
from pipelines.runtime.errors import InputError


def read_item_lists(content: bytes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the pairs of user and item in the order of the file.

    Args:
        content: the file, numbers separated by tabs or blanks.
        label: the name of the file in messages.

    Returns:
        users and items, int64 [pairs].

    Raises:
        InputError: if a line holds anything but whole numbers from 0, a user has two lines, or a
            line has no item or the same item twice.
    """
    users, lists = [], []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            user, *items = map(int, line.split())
        except ValueError:
            raise InputError(f"{label}: line {number} must hold whole numbers only.") from None
        if user < 0 or not items or min(items) < 0 or max(user, *items) >= MOST_ITEMS:
            raise InputError(
                f"{label}: line {number} must be a user and items, each from 0 to {MOST_ITEMS - 1}."
            )
        if len(set(items)) < len(items):
            raise InputError(f"{label}: line {number} names an item twice.")
        users.append(user)
        lists.append(items)
    if len(set(users)) < len(users):
        raise InputError(f"{label} has two lines for the same user; each must have one.")
    if not users:
        raise InputError(f"{label} is empty; fetch it again.")
    pairs = np.repeat(np.array(users), [len(items) for items in lists])
    return pairs, np.concatenate(lists)
