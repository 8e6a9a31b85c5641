import json

import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import HashedItemTable
from hmar_keras.layers.hashed_item_table import hashed_rows, make_item_table

# Trained tables and deployed SavedModels depend on these rows: they must never change.
IDS = [0, 1, 2, 255, 256, 65_535, 65_536, 9_999_999, 10_000_000, 16_777_216, 2**31 - 1]
ROWS_OF_1000 = [
    *[[456, 1405], [489, 1074], [767, 1473], [801, 1306], [870, 1236], [637, 1095]],
    *[[858, 1238], [686, 1503], [830, 1583], [426, 1579], [472, 1595]],
]


def reference(item_ids, buckets):
    """Computes the rows with Python integers, one id and one byte at a time."""
    numbers = np.random.RandomState(0).randint(0, 2**31 - 1, size=(4, 256, 2), dtype=np.int32)
    rows = []
    for item in item_ids:
        first = second = 0
        for place, byte in enumerate(int(item).to_bytes(4, "little")):
            first ^= int(numbers[place, byte, 0])
            second ^= int(numbers[place, byte, 1])
        rows.append([first % buckets, buckets + second % buckets])
    return np.array(rows)


def test_rows_are_the_same_for_ever():
    np.testing.assert_array_equal(reference(IDS, 1000), ROWS_OF_1000)
    np.testing.assert_array_equal(ops.convert_to_numpy(hashed_rows(IDS, 1000)), ROWS_OF_1000)


@pytest.mark.parametrize("buckets", [1, 2, 7, 65_536, 500_000, 2**30])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_rows_equal_the_reference(buckets, dtype):
    ids = np.concatenate([IDS, np.random.default_rng(0).integers(0, 2**31, 200)]).astype(dtype)
    rows = ops.convert_to_numpy(hashed_rows(ops.convert_to_tensor(ids), buckets))
    assert rows.dtype == "int32"
    np.testing.assert_array_equal(rows, reference(ids, buckets))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_rows_when_compiled(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch does not compile here")
    table, buckets = HashedItemTable(10, 2, buckets=1000), 1000
    model = keras.Sequential([keras.Input((None,), dtype="int32"), table])
    model.compile(jit_compile=jit_compile)
    # Each embedding encodes the two rows that it is the sum of.
    numbers = np.arange(2 * buckets)
    first = numbers < buckets
    table.set_weights([np.stack([numbers * first, numbers * ~first], -1)])
    found = model.predict_on_batch(np.array([IDS], "int32"))[0]
    np.testing.assert_array_equal(found, reference(IDS, buckets))


@pytest.mark.parametrize(("items", "buckets"), [(200_000, 10_000), (400_000, 2_000)])
def test_as_many_items_share_both_rows_as_documented(items, buckets):
    rows = ops.convert_to_numpy(hashed_rows(np.arange(1, items + 1, dtype="int32"), buckets))
    both = rows[:, 0].astype("int64") * buckets + rows[:, 1] - buckets
    _, counts = np.unique(both, return_counts=True)
    with_a_twin = counts[counts > 1].sum()
    expected = items * items / buckets**2
    assert abs(with_a_twin - expected) < 6 * np.sqrt(2 * expected) + 0.06 * expected
    # All rows are used about equally often: the variance is that of random draws.
    for column in (rows[:, 0], rows[:, 1] - buckets):
        load = np.bincount(column, minlength=buckets)
        mean = items / buckets
        assert abs(load.var() / mean - 1) < 6 * np.sqrt(2 / buckets)


@pytest.mark.parametrize("buckets", [0, 3])
def test_layer(tmp_path, buckets):
    table = make_item_table(8, 4, buckets)
    ids = np.array([[0, 1, 2, 8], [8, 8, 3, 7]], "int32")
    expected = table(ids)
    assert expected.shape == (2, 4, 4)
    assert table.embeddings.path.endswith("embeddings")  # `LazyAdam` recognises tables by this name
    assert tuple(table.embeddings.shape) == (2 * buckets or 9, 4)
    assert isinstance(table, HashedItemTable) == bool(buckets)
    revived = type(table).from_config(json.loads(json.dumps(table.get_config())))
    assert revived.num_rows == table.num_rows
    arguments = {"input_dim": 9, "output_dim": 4} | ({"buckets": buckets} if buckets else {})
    run_layer_test(type(table), arguments, (ids,), tmp_path, float32_output=True)


@pytest.mark.parametrize("buckets", [0, 3])
def test_embeddings_of_all_items(buckets):
    table = make_item_table(8, 4, buckets)
    table.build()
    randomize(table)
    rows = ops.convert_to_numpy(table.embeddings)
    if buckets:
        rows = rows[reference(np.arange(9), buckets)].sum(1)
    assert_close(ops.convert_to_numpy(table(np.arange(9, dtype="int32"))), rows)
    vectors = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    assert_close(ops.convert_to_numpy(table.dot_all_items(vectors)), vectors @ rows.T)
