"""Reads pickles of numbers, NumPy arrays and SciPy CSR matrices, and of nothing else.

A pickle is a program, and loading one runs it. Here a pickle never reaches real code: every name
it may use resolves to a small stand-in below that only records state, and any other name is
refused. NumPy sees the content only as checked buffers of plain numbers.

A few bytes can also request gigabytes. All opcodes are checked before any is executed, so the
allocated memory stays within a constant factor of the file size.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import pickletools
import re

import numpy as np

from pipelines.runtime.errors import InputError

_MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")
_NUMBER_TYPE = re.compile(r"[iuf][1248]")


@dataclasses.dataclass(frozen=True)
class CsrMatrix:
    """The parts of a `[rows, columns]` sparse matrix as stored, unchecked.

    Args:
        shape: rows and columns.
        indptr: int [rows + 1].
        indices: int [stored].
        data: numbers [stored].
    """

    shape: tuple[int, int]
    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray


def load_numeric_pickle(content: bytes, label: str):
    """Loads a pickle of numbers without running anything in it.

    Args:
        content: the bytes of the pickle.
        label: the name of the file in messages.

    Returns:
        A `CsrMatrix`, an array, or a list of None and numbers.

    Raises:
        InputError: if the pickle is damaged, or holds or names anything else.
    """
    names = _allowed_names(len(content))

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if (module, name) not in names:
                raise InputError(
                    f"{label} is refused: it names {module}.{name}, and only NumPy arrays and "
                    f"SciPy CSR matrices are read."
                )
            return names[module, name]

    try:
        _check_sizes(content)
        # Python 2 stored bytes as text, which latin1 maps back one-to-one.
        loaded = Unpickler(io.BytesIO(content), encoding="latin1").load()
        return _plain(loaded)
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(
            f"{label} is not a pickled NumPy array, list or SciPy CSR matrix ({reason})."
        ) from error


def _check_sizes(content):
    """Checks that no opcode claims more bytes, or a higher memo slot, than is possible."""
    # pickletools raises a ValueError if the content ends within an argument.
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content), start=1):
        if opcode.name in _MEMO_OPCODES and argument > number:  # picklers count up
            raise ValueError(f"its opcode {number} writes to the memo slot {argument}")


def _plain(loaded):
    if isinstance(loaded, _Csr):
        state = loaded.__dict__
        shape = tuple(int(size) for size in state.get("_shape", state.get("shape")))
        rows, columns = shape
        parts = (state[part].array() for part in ("indptr", "indices", "data"))
        return CsrMatrix((rows, columns), *parts)
    if isinstance(loaded, _Array):
        return loaded.array()
    if isinstance(loaded, list):
        return loaded
    raise TypeError(f"it holds {type(loaded).__name__.lstrip('_')}")


class _Csr:
    """Stores the state of a matrix as attributes."""


class _Dtype:
    """A dtype of plain numbers, or of objects."""

    def __init__(self, spec, align=False, copy=False):
        del align, copy
        # Old files write object types as O4 and O8.
        self.is_object = spec in ("O", "O4", "O8")
        if not self.is_object and not _NUMBER_TYPE.fullmatch(spec):
            raise TypeError(f"arrays of {spec!r} are not supported")
        self._spec, self._order = spec, "|"

    def __setstate__(self, state):
        self._order = {"<": "<", ">": ">"}.get(state[1], "|")

    def numpy(self):
        return np.dtype(self._order + self._spec)


class _Array:
    """The state of an array: shape, dtype and raw content."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.raw = state

    def array(self):
        if self.dtype.is_object:
            return np.fromiter(self.raw, object, count=len(self.raw)).reshape(self.shape)
        raw = self.raw.encode("latin1") if isinstance(self.raw, str) else self.raw
        if not isinstance(raw, bytes | bytearray):
            raise TypeError(f"an array's content is {type(raw).__name__}")
        flat = np.frombuffer(raw, self.dtype.numpy())
        native = flat.astype(flat.dtype.newbyteorder("="))
        return native.reshape(self.shape, order="F" if self.fortran else "C")


def _allowed_names(most_bytes):
    """Returns the stand-in for each name, new for each file because a pickle can alter them.

    Args:
        most_bytes: limit on the total output of `encode`, which a pickle can call repeatedly on
            one text.
    """
    encoded = 0

    class Csr(_Csr):
        pass

    class Array(_Array):
        pass

    class Dtype(_Dtype):
        pass

    def reconstruct(subtype, shape, typecode):
        del subtype, shape, typecode
        return Array()

    def scalar(dtype, raw):
        array = Array()
        array.__setstate__((1, (), dtype, False, raw))
        return array.array()[()]

    def from_buffer(buffer, dtype, shape, order):
        array = Array()
        array.__setstate__((1, shape, dtype, order == "F", buffer))
        return array

    def old_object(cls, base, state):
        del base, state
        return cls.__new__(cls)

    def encode(text, encoding):
        nonlocal encoded
        del encoding  # always latin1
        encoded += len(text)
        if encoded > most_bytes:
            raise ValueError("it encodes more text than it holds")
        return text.encode("latin1")

    names = {("numpy", "ndarray"): Array, ("numpy", "dtype"): Dtype, ("_codecs", "encode"): encode}
    for package in ("numpy.core", "numpy._core"):
        names[f"{package}.multiarray", "_reconstruct"] = reconstruct
        names[f"{package}.multiarray", "scalar"] = scalar
        names[f"{package}.numeric", "_frombuffer"] = from_buffer
    for module in ("scipy.sparse", "scipy.sparse.csr", "scipy.sparse._csr"):
        names[module, "csr_matrix"] = names[module, "csr_array"] = Csr
    for module, base in (("copyreg", "builtins"), ("copy_reg", "__builtin__")):
        names[module, "_reconstructor"] = old_object
        names[base, "object"] = Csr
    return names
