import numpy as np
import pytest
import scipy.sparse

from hmar_keras.schema import Behaviors
from pipelines.datasets.csr_pickle import read_csr_log
from pipelines.datasets.raw_files import RawFiles
from pipelines.runtime.errors import InputError

MATRICES = ("trn_click", "trn_fav", "trn_cart", "trn_buy")
BEHAVIORS = Behaviors(("click", "fav", "cart", "buy"), "buy")


def read(folder, matrices=MATRICES, behaviors=BEHAVIORS):
    files = RawFiles(folder, {path.name: str(path) for path in folder.iterdir()})
    return read_csr_log("log", behaviors, False, files, matrices, "tst_int")


def broken(**parts):
    """Returns a matrix with parts replaced without SciPy's checks."""
    matrix = scipy.sparse.csr_matrix(([5, 6], ([0, 2], [1, 2])), shape=(3, 4))
    for name, value in parts.items():
        setattr(matrix, name, np.array(value))
    return matrix


def test_order_and_numbering(csr_files):
    dataset = read(csr_files())
    assert dataset.users.tolist() == ["0", "2"]  # row 1 has neither events nor a test item
    assert dataset.items.tolist() == ["0", "1", "2", "3"]
    assert dataset.offsets.tolist() == [0, 3, 5]
    # At time 5: click of item 1 before click of item 3 before the stronger buy of item 1.
    assert dataset.item_ids.tolist() == [2, 4, 2, 3, 1]
    assert dataset.behavior_ids.tolist() == [1, 1, 4, 4, 1]
    assert dataset.timestamps.tolist() == [5, 5, 5, 6, 7]
    assert dataset.held_out_items.tolist() == [0, 4]
    assert dataset.events_by_behavior() == {"click": 3, "fav": 0, "cart": 0, "buy": 2}


def test_user_with_only_a_test_item(csr_files):
    dataset = read(csr_files(tst_int=[None, 0, None]))
    assert dataset.users.tolist() == ["0", "1", "2"]
    assert dataset.offsets.tolist() == [0, 3, 3, 5]
    assert dataset.held_out_items.tolist() == [0, 1, 0]


def test_float_times_and_object_array(csr_files):
    matrix = scipy.sparse.csr_matrix(([5.5, 6.0], ([0, 2], [1, 2])), shape=(3, 4))
    dataset = read(csr_files(trn_buy=matrix, tst_int=np.array([None, np.int64(1), 2], object)))
    assert dataset.timestamps.tolist() == [5, 5, 5, 6, 7]
    assert dataset.held_out_items.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trn_buy": scipy.sparse.csr_matrix((3, 5))}, "trn_buy is 3 x 5, .* are 3 x 4"),
        (
            {"trn_click": scipy.sparse.csr_matrix((3, 10**8))},
            "trn_click is damaged: it has 1000000",
        ),
        ({"trn_fav": [1, 2]}, "trn_fav must hold a SciPy CSR matrix, got list"),
        ({"trn_fav": broken(indices=[1, 4])}, "trn_fav is damaged: a column number"),
        ({"trn_fav": broken(indices=[-1, 2])}, "trn_fav is damaged: a column number"),
        ({"trn_fav": broken(indptr=[0, 2, 1, 2])}, "trn_fav is damaged: its row pointers"),
        ({"trn_fav": broken(indptr=[0, 1, 2])}, "trn_fav is damaged: its row pointers"),
        ({"trn_fav": broken(data=[1.0])}, "trn_fav is damaged: its row pointers"),
        ({"trn_fav": broken(indices=[1.0, 2.0])}, "trn_fav is damaged: each of its parts"),
        ({"trn_fav": broken(data=[1.0, np.nan])}, "trn_fav must hold finite times"),
        ({"trn_fav": broken(data=[1.0, np.inf])}, "trn_fav must hold finite times"),
        (
            {"trn_fav": broken(indptr=[0, 2, 2, 2], indices=[1, 1])},
            "trn_fav is damaged: it stores an item of a user twice",
        ),
        ({"tst_int": [None, 1]}, "tst_int must be a list with one entry for each of 3 users"),
        ({"tst_int": [None, 1, 4]}, "tst_int: entry 2 must be from 0 to 3, got 4"),
        ({"tst_int": [None, -1, 0]}, "tst_int: entry 1 must be from 0 to 3, got -1"),
        ({"tst_int": [None, 1.5, 0]}, "tst_int: entry 1 must be None or a whole number, got 1.5"),
        ({"tst_int": [None, True, 0]}, "tst_int: entry 1 must be None or a whole number"),
        ({"tst_int": scipy.sparse.csr_matrix((3, 4))}, "tst_int must be a list"),
        ({"tst_int": b"nonsense"}, "tst_int is not a pickled"),
    ],
)
def test_unsound_files_are_named(changed, message, csr_files):
    with pytest.raises(InputError, match=message) as caught:
        read(csr_files(**changed))
    assert "\n" not in str(caught.value)


def test_no_events(csr_files):
    empty = scipy.sparse.csr_matrix((3, 4))
    with pytest.raises(InputError, match="the log is empty"):
        read(csr_files(**dict.fromkeys(MATRICES, empty)))


def test_pickles_of_other_research_code(real_data):
    """They are Python 3.6 pickles with other dtypes, and their test items are NumPy scalars."""
    folder = real_data("yelp")
    matrices = ("trn_tip", "trn_neg", "trn_neutral")  # trn_pos is not available
    dataset = read(folder, matrices, Behaviors(("tip", "neg", "neutral"), "neutral"))
    assert dataset.events_by_behavior() == {"tip": 285_673, "neg": 198_106, "neutral": 238_880}
    assert dataset.num_items == 22_734
    assert (dataset.held_out_items > 0).sum() == 10_000
