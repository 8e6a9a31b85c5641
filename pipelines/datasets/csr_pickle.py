"""Logs as pickled sparse matrices, one a behaviour: the format of several published datasets.

A matrix is [users x items]; a stored value is the time of the event. A pickle can run any code
when it is loaded, so these are read by an unpickler that builds arrays and nothing else.
"""

from __future__ import annotations

import io
import pickle

import numpy as np

from pipelines.datasets.interaction_log import InteractionLog
from pipelines.errors import InputError


class _Matrix:
    """Stands in for scipy's CSR classes: a bag for the arrays in the pickle."""

    def __setstate__(self, state):
        self.arrays = state if isinstance(state, dict) else {}


_SCIPY_MODULES = ("scipy.sparse", "scipy.sparse.csr", "scipy.sparse._csr")
_ARRAY_FUNCTIONS = {
    "multiarray": ("_reconstruct", "scalar"),
    "numeric": ("_frombuffer",),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module in _SCIPY_MODULES and name in ("csr_matrix", "csr_array"):
            return _Matrix
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        package, _, last = module.rpartition(".")
        # NumPy 2 renamed numpy.core to numpy._core; files of both kinds are read under both.
        if package in ("numpy.core", "numpy._core") and name in _ARRAY_FUNCTIONS.get(last, ()):
            return getattr(getattr(np._core, last), name)
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def load_arrays(content: bytes, source: str):
    """Unpickles arrays, CSR matrices, numbers, None and lists and dicts of them.

    Raises:
        InputError: if the pickle holds anything else or is broken. None of it is executed.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # a broken pickle can raise nearly anything
        raise InputError(
            f"{source} is not a pickle of plain arrays ({error}); it was not loaded, get the "
            "file from a source you trust."
        ) from error


def read_matrix(content: bytes, source: str):
    """The stored entries of a pickled CSR matrix.

    Returns:
        `(shape, rows, columns, times)`, each but the first int64 [entries].

    Raises:
        InputError: if it is not a well-formed CSR matrix of times.
    """
    matrix = load_arrays(content, source)
    arrays = getattr(matrix, "arrays", {})
    shape = arrays.get("_shape", arrays.get("shape"))
    parts = [arrays.get(name) for name in ("indptr", "indices", "data")]
    if shape is None or not all(isinstance(part, np.ndarray) for part in parts):
        raise InputError(f"{source} does not hold a sparse CSR matrix; get the right file.")
    indptr, indices, data = parts
    num_rows, num_columns = (int(size) for size in shape)
    sound = (
        all(part.ndim == 1 and part.dtype.kind in "iuf" for part in parts)
        and len(indptr) == num_rows + 1
        and indptr[0] == 0
        and indptr[-1] == len(indices) == len(data)
        and np.all(np.diff(indptr) >= 0)
        and (not len(indices) or (indices.min() >= 0 and indices.max() < num_columns))
        and np.all(np.isfinite(data))
    )
    if not sound:
        raise InputError(f"the sparse matrix in {source} is inconsistent; get the file again.")
    rows = np.repeat(np.arange(num_rows), np.diff(indptr).astype(np.int64))
    return (num_rows, num_columns), rows, indices.astype(np.int64), data.astype(np.int64)


def read_held_out(content: bytes, source: str, shape) -> np.ndarray:
    """The official test list: for every user an item number from 0, or None.

    Returns:
        int64 [users], item numbers, -1 for none.

    Raises:
        InputError: if it does not fit the matrices of `shape`.
    """
    listed = load_arrays(content, source)
    if not isinstance(listed, list | np.ndarray) or len(listed) != shape[0]:
        raise InputError(f"{source} must list one test item or None for each of {shape[0]} users.")
    try:
        items = np.array([-1 if item is None else int(item) for item in listed], np.int64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source} holds something that is no item number: {error}.") from error
    if items.max(initial=-1) >= shape[1] or items.min(initial=-1) < -1:
        raise InputError(f"{source} names an item outside the {shape[1]} of the matrices.")
    return items


def read_csr_log(read, behaviors, held_out: str) -> InteractionLog:
    """One log of K matrices; at equal times weak behaviours come first, then smaller items.

    The catalogue is every column and the users are the rows with at least one event or a test
    item; both are named by their number from 0.

    Args:
        read: gives the content of a file by its name, see `SourceFiles.read`.
        behaviors: names weak to strong; behaviour `b` is in the file `trn_b`.
        held_out: name of the file with the test list.

    Raises:
        InputError: if a file is missing, broken, or of another shape than the rest.
    """
    shapes, columns = {}, []
    for behavior_id, name in enumerate(behaviors, start=1):
        file = f"trn_{name}"
        shapes[file], rows, items, times = read_matrix(read(file), file)
        columns.append((rows, items, np.full(len(rows), behavior_id), times))
    if len(set(shapes.values())) > 1:
        raise InputError(f"the matrices differ in shape ({shapes}); get files that go together.")
    shape = shapes[file]
    rows, items, behavior_ids, times = (
        np.concatenate(parts) for parts in zip(*columns, strict=True)
    )
    if not len(rows):
        raise InputError(f"the matrices {', '.join(shapes)} hold no events; get other files.")
    test_items = read_held_out(read(held_out), held_out, shape)

    order = np.lexsort((items, behavior_ids, times, rows))
    counts = np.bincount(rows, minlength=shape[0])
    kept = (counts > 0) | (test_items >= 0)
    return InteractionLog(
        users=np.flatnonzero(kept).astype(str),
        items=np.arange(shape[1]).astype(str),
        offsets=np.concatenate([[0], np.cumsum(counts[kept])]),
        item_ids=(items[order] + 1).astype(np.int32),
        behavior_ids=behavior_ids[order].astype(np.int32),
        timestamps=times[order],
        held_out_items=(test_items[kept] + 1).astype(np.int32),
    )
