"""Properties that the builders of the research releases share."""

import dataclasses
import pathlib
import pickle

import numpy as np
import pytest
import scipy.sparse

from pipelines.datasets import DATASETS, load_dataset, loading
from pipelines.runtime.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")

# Two configurations of the same log, and how many events follow answers in the text form.
FORMS = [("taobao/csr", "taobao/text", 4), ("yelp/csr", "yelp/text", 5)]
FORMS += [("movielens/10m-csr", "movielens/10m-text", 6)]


def dummy_data(name):
    builder_class = loading._import_builder(DATASETS[name.partition("/")[0]].builder)
    return pathlib.Path(builder_class.code_path).parent / "dummy_data"


def load(name, tmp_path):
    return load_dataset(name, dummy_data(name), tmp_path)


@pytest.mark.parametrize(("in_csr", "in_text", "later"), FORMS)
def test_both_forms_hold_one_log(in_csr, in_text, later, tmp_path):
    csr = load(in_csr, tmp_path)
    with pytest.warns(UserWarning, match=f"{later} events after the test answer"):
        text = load(in_text, tmp_path)
    assert csr.users.tolist() == ["0", "1", "2", "3", "5"]  # row 4 is empty
    for field in dataclasses.fields(csr):
        if field.name not in ("name", "prepared", "timestamps"):
            np.testing.assert_array_equal(getattr(csr, field.name), getattr(text, field.name))
    # The same order across users too, not only within one.
    np.testing.assert_array_equal(np.argsort(csr.timestamps), np.argsort(text.timestamps))
    # In the text, the log contains the answers of users 1 and 3; no event has the last item.
    assert text.held_out_items.tolist()[0] == 9
    lines = next(dummy_data(in_text).glob("*.txt")).read_text().split("\n")
    assert text.num_events == sum(line[:1].isdigit() for line in lines) - 2 - later


@pytest.mark.parametrize(
    "name", ["taobao/csr", "yelp/csr", "movielens/10m-csr", "retailrocket/csr"]
)
def test_csr_records_are_the_matrices(name, tmp_path):
    dataset = load(name, tmp_path)
    expected = []
    for behavior, kind in enumerate(dataset.behaviors.names, start=1):
        pickled = (dummy_data(name) / f"trn_{kind}").read_bytes()
        matrix = scipy.sparse.coo_matrix(pickle.loads(pickled))
        for user, item, time in zip(matrix.row, matrix.col, matrix.data, strict=True):
            expected.append((str(user), int(time), behavior, int(item) + 1))
    users = np.repeat(dataset.users, np.diff(dataset.offsets)).tolist()
    columns = (dataset.timestamps, dataset.behavior_ids, dataset.item_ids)
    found = list(zip(users, *(column.tolist() for column in columns), strict=True))
    assert found == sorted(expected)


@pytest.mark.parametrize("name", ["taobao", "tianchi", "yelp", "retailrocket/csr"])
def test_without_files(name, tmp_path):
    message = rf"{name}\S* cannot be downloaded: get .* from https://github.com/.* --data-dir\.$"
    with pytest.raises(InputError, match=message):
        load_dataset(name, cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("taobao", r"unpack trn_pv \(a rar archive there\)"),
        ("movielens/10m-csr", r"unpack trn_neutral and trn_pos \(a rar archive there\)"),
        ("yelp", r"none of trn_tip, trn_neg, trn_neutral, trn_pos, tst_int; get .*Datasets/Yelp"),
        ("tianchi", "none of Tianchi.txt, Tianchi_tst_int; get Tianchi.txt, Tianchi_tst_int from"),
    ],
)
def test_empty_directory(name, message, tmp_path):
    with pytest.raises(InputError, match=message):
        load_dataset(name, tmp_path, tmp_path / "cache")


def test_bad_line_is_named_with_its_file(tmp_path):
    for file in dummy_data("tianchi").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with open(tmp_path / "Tianchi.txt", "a") as file:
        file.write("1 2 collect\n")
    with pytest.raises(InputError, match=r"Tianchi.txt, line 48: the behaviour must be one of pv"):
        load_dataset("tianchi", tmp_path, tmp_path / "cache")
