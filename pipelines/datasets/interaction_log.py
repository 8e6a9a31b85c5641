"""From a log, one row an event in any order, to one sequence a user in time order."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.errors import InputError


@dataclasses.dataclass(frozen=True)
class InteractionLog:
    """A log sorted by user and time, with dense ids.

    Args:
        users: str [users], the vocabulary of users.
        items: str [items], the vocabulary of items; id `i` is `items[i - 1]`.
        offsets: int64 [users + 1]; the events of user `u` are `offsets[u]:offsets[u + 1]`.
        item_ids: int32 [events], from 1.
        behavior_ids: int32 [events], from 1.
        timestamps: int64 [events].
        held_out_items: int32 [users], official test items, 0 for none.
    """

    users: np.ndarray
    items: np.ndarray
    offsets: np.ndarray
    item_ids: np.ndarray
    behavior_ids: np.ndarray
    timestamps: np.ndarray
    held_out_items: np.ndarray

    @classmethod
    def from_columns(cls, source, users, items, behavior_ids, timestamps, num_behaviors):
        """Sorts and numbers a log. Events of a user at the same time keep their order.

        Vocabularies are in shortlex order (shorter first), so that ids that are whole numbers
        come in numeric order.

        Args:
            source: what to call the log in an error.
            users: int or str [events], the users' original ids.
            items: int or str [events], the items' original ids.
            behavior_ids: int [events], from 1 to `num_behaviors`.
            timestamps: int [events].
            num_behaviors: number of behaviours K.

        Raises:
            InputError: if the log is empty, its columns differ in length, or a behaviour id is
                out of range.
        """
        columns = {
            "user": np.asarray(users),
            "item": np.asarray(items),
            "behaviour": np.asarray(behavior_ids),
            "time": np.asarray(timestamps),
        }
        check_columns(source, columns, num_behaviors)
        user_names, user_rows = shortlex_vocabulary(columns["user"])
        item_names, item_rows = shortlex_vocabulary(columns["item"])
        order = np.lexsort((columns["time"], user_rows))  # stable: ties keep the row order
        counts = np.bincount(user_rows, minlength=len(user_names))
        return cls(
            users=user_names,
            items=item_names,
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            item_ids=(item_rows[order] + 1).astype(np.int32),
            behavior_ids=columns["behaviour"][order].astype(np.int32),
            timestamps=columns["time"][order].astype(np.int64),
            held_out_items=np.zeros(len(user_names), np.int32),
        )


def check_columns(source, columns, num_behaviors):
    """Raises an InputError if a log cannot be used; see `InteractionLog.from_columns`."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        parts = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"the columns of {source} differ in length ({parts}); mend the log.")
    if not lengths["user"]:
        raise InputError(f"{source} holds no events; give a log with at least one.")
    behaviors = columns["behaviour"]
    wrong = (behaviors < 1) | (behaviors > num_behaviors)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"row {row + 1} of {source} has the behaviour id {behaviors[row]}, "
            f"which is not one of 1 to {num_behaviors}; mend the log."
        )


def shortlex_vocabulary(values):
    """The distinct values as strings, shorter ones first, and the place of every value.

    Returns:
        `(names, places)`: str [distinct] and int64 [values] with `names[places[i]]` the i-th
        value.
    """
    distinct, places = np.unique(values, return_inverse=True)
    names = distinct.astype(str)
    order = np.lexsort((names, np.char.str_len(names)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return names[order], rank[places.reshape(-1)]
