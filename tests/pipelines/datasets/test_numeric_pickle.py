import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

from pipelines.datasets.numeric_pickle import CsrMatrix, load_numeric_pickle
from pipelines.runtime.errors import InputError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Reduced:
    """An object that pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def load(content):
    return load_numeric_pickle(content, "my_file")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["i4", "i8", "f8", "f4", "u2"])
@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csr_array])
def test_csr(make, dtype, protocol):
    dense = np.array([[0, 3, 0], [1, 0, 2]]).astype(dtype)
    loaded = load(pickle.dumps(make(dense), protocol))
    assert isinstance(loaded, CsrMatrix)
    parts = (loaded.data, loaded.indices, loaded.indptr)
    rebuilt = scipy.sparse.csr_matrix(parts, shape=loaded.shape)
    np.testing.assert_array_equal(rebuilt.toarray(), dense)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_old_module_names(protocol):
    matrix = scipy.sparse.csr_matrix(np.eye(2))
    content = pickle.dumps(matrix, protocol)
    # Renaming works only with opcodes that do not store the length of a name.
    old = pickle.dumps(matrix, 2).replace(b"scipy.sparse._csr\n", b"scipy.sparse.csr\n")
    old = old.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
    assert b"scipy.sparse.csr\n" in old and b"numpy.core.multiarray\n" in old
    for each in (content, old):
        np.testing.assert_array_equal(load(each).data, [1, 1])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_lists_and_arrays(protocol):
    values = [None, 3, np.int64(5), np.int32(7)]
    assert load(pickle.dumps(values, protocol)) == [None, 3, 5, 7]
    assert load(pickle.dumps(np.array(values, object), protocol)).tolist() == [None, 3, 5, 7]
    for array in (np.asfortranarray([[1, 2], [3, 4]]), np.array([1, 300], ">i8")):
        np.testing.assert_array_equal(load(pickle.dumps(array, protocol)), array)


HOSTILE = {
    "system": Reduced(os.system, "touch executed"),
    "eval": Reduced(eval, "open('executed', 'w')"),
    "open": Reduced(open, "executed", "w"),
    "getattr": Reduced(getattr, 1, "real"),
    "numpy load": Reduced(np.load, "executed"),
    "in a list": [None, Reduced(os.system, "touch executed")],
    "in an array": np.array([Reduced(os.system, "touch executed")], object),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_is_refused_and_not_run(name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(HOSTILE[name], protocol)
    with pytest.raises(InputError, match=r"my_file is refused: it names .* only NumPy"):
        load(content)
    assert not (tmp_path / "executed").exists()


def test_nothing_real_can_be_altered():
    """A pickle may set attributes on whatever it can name."""
    state = (None, {"toarray": 1, "_shape": (1, 1)})
    content = (
        b"\x80\x02cscipy.sparse\ncsr_matrix\n"
        + pickle.dumps(state, 2)[2:-1]
        + b"b0"  # sets it on the class, then drops it
        + pickle.dumps([None], 2)[2:]
    )
    assert load(content) == [None]
    assert callable(scipy.sparse.csr_matrix.toarray)
    assert not hasattr(load(pickle.dumps(scipy.sparse.csr_matrix(np.eye(2)))), "toarray")


WHOLE = pickle.dumps(scipy.sparse.csr_matrix(np.eye(3)))
DAMAGED = {
    "empty": b"",
    "text": b"not a pickle",
    "a zip": b"PK\x03\x04",
    "another object": pickle.dumps({"a": 1}),
    "text inside": pickle.dumps(np.array(["a"])),
    "a record": pickle.dumps(np.zeros(1, [("a", "i4")])),
    "no state": b"\x80\x02cscipy.sparse\ncsr_matrix\n)\x81.",
    "huge": b"\x80\x02cnumpy\nndarray\n)\x81(K\x01J\xff\xff\xff\x7f\x85cnumpy\ndtype\nX\x02\x00\x00"
    b"\x00i8\x85R\x89J\xff\xff\xff\x7ftb.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name):
    with pytest.raises(InputError, match="my_file is not a pickled NumPy") as caught:
        load(DAMAGED[name])
    assert "\n" not in str(caught.value)


TEXT = pickle.dumps("a" * 100_000, 2)[:-1]  # without the end; in memo slot 0
ENCODE = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
GREEDY = {
    "memo": b"\x80\x02]r\xff\xff\xff\x0f.",
    "memo in text": b"]p268435455\n.",
    "bytes": b"\x80\x04\x8e\x00\x00\x00\x20\x00\x00\x00\x00.",
    "bytearray": b"\x80\x05\x96\x00\x00\x00\x20\x00\x00\x00\x00.",
    "short bytes": b"\x80\x03B\x00\x00\x00\x20.",
    "text": b"\x80\x04\x8d\x00\x00\x00\x20\x00\x00\x00\x00.",
    "short text": b"\x80\x02X\x00\x00\x00\x20.",
    "old text": b"\x80\x02T\x00\x00\x00\x20.",
    "number": b"\x80\x02\x8b\x00\x00\x00\x20.",
    "frame": b"\x80\x04\x95\x00\x00\x00\x20\x00\x00\x00\x00].",
    "one text often": TEXT + ENCODE * 1000 + b".",
}


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's memory limits")
@pytest.mark.parametrize("name", GREEDY)
def test_a_few_bytes_take_little_memory(name):
    """A limit on the process also counts memory that C code allocates but never touches."""
    code = (
        "import resource, sys\n"
        "from pipelines.datasets.numeric_pickle import load_numeric_pickle\n"
        "with open('/proc/self/statm') as file:\n"
        "    used = int(file.read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)\n"
        "load_numeric_pickle(sys.stdin.buffer.read(), 'my_file')\n"
    )
    process = subprocess.run([sys.executable, "-c", code], input=GREEDY[name], capture_output=True)
    assert b"InputError: my_file is not a pickled NumPy" in process.stderr, process.stderr
    assert b"MemoryError" not in process.stderr


def test_cut_short():
    for length in range(1, len(WHOLE), 7):
        with pytest.raises(InputError, match="my_file"):
            load(WHOLE[:length])
