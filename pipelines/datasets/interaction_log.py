"""Turns a log with one row per event into each user's events in time order."""

from __future__ import annotations

import numpy as np

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError


def group_by_user(
    name: str,
    behaviors: Behaviors,
    repeats: bool,
    *,
    users,
    items,
    behavior_ids,
    timestamps,
) -> InteractionDataset:
    """Groups a columnar log by user; events with equal times stay in row order.

    Users and items are numbered in shortlex order of their ids (shorter first, then by
    character), which is numeric order for ids that are numbers.

    Args:
        name: name of the dataset, also used in messages.
        behaviors: the behaviours that the ids stand for.
        repeats: whether an item that the user already knows may be the answer.
        users: [events], whole numbers or text.
        items: [events], whole numbers or text.
        behavior_ids: int [events], from 1.
        timestamps: [events], whole numbers or finite fractions. Fractions decide the order and are
            then rounded down.

    Returns:
        The dataset; `offsets` is `[users + 1]`, and no official test item is set.

    Raises:
        InputError: if the columns differ in length or are empty, or a value is out of range.
    """
    columns = {
        "user": np.asarray(users),
        "item": np.asarray(items),
        "behavior": np.asarray(behavior_ids),
        "timestamp": np.asarray(timestamps),
    }
    _check_lengths(name, columns)
    _check_behaviors(name, columns["behavior"], behaviors)
    order_time = check_times(f"{name}: the field timestamp", columns["timestamp"])
    user_names, user_rows = _number(name, "user", columns["user"])
    item_names, item_rows = _number(name, "item", columns["item"])

    order = np.lexsort((order_time, user_rows))  # stable: equal times keep their row order
    counts = np.bincount(user_rows, minlength=len(user_names))
    return InteractionDataset(
        name=name,
        behaviors=behaviors,
        repeats=repeats,
        users=user_names,
        items=item_names,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        item_ids=(item_rows[order] + 1).astype(np.int32),
        behavior_ids=columns["behavior"][order].astype(np.int32),
        timestamps=np.floor(order_time[order]).astype(np.int64),
        held_out_items=np.zeros(len(user_names), np.int32),
    )


def check_times(what: str, times: np.ndarray) -> np.ndarray:
    """Checks that times can be sorted and stored as int64, and returns them.

    Args:
        what: the name of the times in messages, e.g. `"trn_buy"`.
        times: [events].

    Raises:
        InputError: if they are not numbers, not finite, or beyond the range of int64.
    """
    if times.dtype.kind not in "iuf":
        raise InputError(f"{what} must hold numbers, got values such as {times.flat[0]!r}.")
    limit = 2**63 if times.dtype.kind == "u" else 2.0**63
    # Written so that NaN fails the check too.
    bad = np.flatnonzero(~(np.abs(times) < limit)) if times.dtype.kind != "i" else []
    if len(bad):
        raise InputError(
            f"{what} must hold finite times within 64 bits, got {times[bad[0]]} in row "
            f"{bad[0] + 1}."
        )
    return times


def _check_lengths(name, columns):
    for field, values in columns.items():
        if values.ndim != 1:
            raise InputError(f"{name}: the field {field} must be one column, got {values.shape}.")
    lengths = {field: len(values) for field, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{field} {length}" for field, length in lengths.items())
        raise InputError(f"{name}: the fields of a log must have the same length, got {listed}.")
    if not lengths["user"]:
        raise InputError(f"{name}: the log is empty; it must have at least one event.")


def _check_behaviors(name, ids, behaviors):
    if ids.dtype.kind not in "iu":
        raise InputError(f"{name}: the field behavior must hold whole numbers, got {ids.dtype}.")
    bad = np.flatnonzero((ids < 1) | (ids > len(behaviors)))
    if len(bad):
        raise InputError(
            f"{name}: the field behavior must be from 1 to {len(behaviors)}, got "
            f"{ids[bad[0]]} in row {bad[0] + 1}."
        )


def _number(name, field, values):
    """Returns the distinct ids as text in shortlex order, and the index of each row among them."""
    if values.dtype.kind in "iu":
        distinct, rows = np.unique(values, return_inverse=True)
        names = distinct.astype(str)
        if distinct[0] >= 0:
            return names, rows  # numeric order is shortlex order
    else:
        names, rows = np.unique(_as_text(name, field, values), return_inverse=True)
    order = np.lexsort((names, np.char.str_len(names)))
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return names[order], places[rows]


def _as_text(name, field, values):
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values):
        values = values.astype(str)
    if values.dtype.kind != "U":
        odd = next((value for value in values if not isinstance(value, str)), values[0])
        raise InputError(
            f"{name}: the field {field} must hold ids as text or as whole numbers, got {odd!r}."
        )
    empty = np.flatnonzero(np.char.str_len(values) == 0)
    if len(empty):
        raise InputError(f"{name}: the field {field} is empty in row {empty[0] + 1}.")
    return values
