"""Reads a log from K pickled sparse matrices, the format of MB-GMN, KHGT and CML.

Each behaviour has a matrix `[users, items]` whose stored values are the times of the events; a
list holds each user's official test item or None.
"""

from __future__ import annotations

import numpy as np

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.interaction_log import check_times
from pipelines.datasets.numbered_log import MOST_ITEMS, group_numbered, held_out_item_ids
from pipelines.datasets.numeric_pickle import CsrMatrix, load_numeric_pickle
from pipelines.datasets.raw_files import RawFiles
from pipelines.runtime.errors import InputError


def read_csr_log(
    name: str,
    behaviors: Behaviors,
    repeats: bool,
    files: RawFiles,
    matrices: tuple[str, ...],
    held_out: str,
) -> InteractionDataset:
    """Reads a log.

    Events with equal times are ordered from the weak to the strong behaviour, then by item. Every
    column is an item; every row with an event or a test item is a user. Both are named by their
    0-based number.

    Args:
        name: name of the dataset.
        behaviors: the behaviours, weak to strong.
        repeats: whether an item that the user already knows may be the answer.
        files: source of the matrices and the list.
        matrices: file names [behaviours], in the order of `behaviors`.
        held_out: file name of the list of test items.

    Raises:
        InputError: if a file cannot be read or does not have the expected content.
    """
    rows, columns, behavior_ids, times = [], [], [], []
    shape = None
    for behavior_id, file in enumerate(matrices, start=1):
        matrix = load_numeric_pickle(files.read(file), files.label(file))
        check_matrix(files.label(file), matrix, shape)
        shape = matrix.shape
        rows.append(np.repeat(np.arange(shape[0]), np.diff(matrix.indptr)))
        columns.append(matrix.indices.astype(np.int64))
        behavior_ids.append(np.full(len(matrix.indices), behavior_id, np.int32))
        times.append(matrix.data)
    tests = load_numeric_pickle(files.read(held_out), files.label(held_out))
    held_out_items = held_out_item_ids(files.label(held_out), tests, *shape)

    rows, columns, behavior_ids, times = map(np.concatenate, (rows, columns, behavior_ids, times))
    order = np.lexsort((columns, behavior_ids, times, rows))
    return group_numbered(
        name,
        behaviors,
        repeats,
        users=rows[order],
        item_ids=columns[order] + 1,
        behavior_ids=behavior_ids[order],
        timestamps=np.floor(times[order]),
        held_out_items=held_out_items,
        num_items=shape[1],
    )


def check_matrix(label: str, matrix, shape: tuple[int, int] | None) -> None:
    """Checks that a matrix is valid, has the given shape and stores no cell twice.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(matrix, CsrMatrix):
        raise InputError(f"{label} must hold a SciPy CSR matrix, got {type(matrix).__name__}.")
    rows, columns = matrix.shape
    if shape is not None and matrix.shape != shape:
        raise InputError(
            f"{label} is {rows} x {columns}, the matrices before it are {shape[0]} x {shape[1]}; "
            f"all must have the same shape [users, items]."
        )
    if columns > MOST_ITEMS:
        raise InputError(f"{label} is damaged: it has {columns} items, more than {MOST_ITEMS}.")
    for part in (matrix.indptr, matrix.indices, matrix.data):
        if part.ndim != 1 or part.dtype.kind not in ("iuf" if part is matrix.data else "iu"):
            raise InputError(f"{label} is damaged: each of its parts must be one row of numbers.")
    stored = len(matrix.indices)
    pointers = matrix.indptr.astype(np.int64)
    if (
        len(pointers) != rows + 1
        or pointers[0] != 0
        or pointers[-1] != stored
        or np.any(np.diff(pointers) < 0)
        or len(matrix.data) != stored
    ):
        raise InputError(f"{label} is damaged: its row pointers do not match its values.")
    if stored and not 0 <= matrix.indices.min() <= matrix.indices.max() < columns:
        raise InputError(f"{label} is damaged: a column number is not below {columns}.")
    check_times(label, matrix.data)
    cells = np.repeat(np.arange(rows), np.diff(pointers)) * columns + matrix.indices
    if len(np.unique(cells)) != stored:
        raise InputError(f"{label} is damaged: it stores an item of a user twice.")
