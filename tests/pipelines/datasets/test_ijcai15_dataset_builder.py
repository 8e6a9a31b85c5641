import pathlib
import pickle
import zipfile

import pytest
import tensorflow_datasets as tfds

from pipelines.datasets.ijcai15.ijcai15_dataset_builder import Ijcai15
from pipelines.datasets.prepared_records import read_prepared

DUMMY_DATA = pathlib.Path(Ijcai15.code_path).parent / "dummy_data"

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")


class Ijcai15Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Ijcai15
    SPLITS = {"train": 5}  # noqa: RUF012


def test_records_are_the_matrices(tmp_path):
    builder = Ijcai15(data_dir=tmp_path, source=DUMMY_DATA)
    builder.download_and_prepare()
    dataset = read_prepared(builder, "ijcai15")
    with zipfile.ZipFile(DUMMY_DATA / "IJCAI_15.zip") as archive:
        names = ("trn_click", "trn_fav", "trn_cart", "trn_buy")
        dense = [pickle.loads(archive.read(name)).toarray() for name in names]
    for row, user in enumerate(dataset.users.astype(int)):
        expected = sorted(
            (time, behavior, item)
            for behavior, matrix in enumerate(dense, start=1)
            for item, time in enumerate(matrix[user].tolist(), start=1)
            if time
        )
        span = slice(dataset.offsets[row], dataset.offsets[row + 1])
        columns = (dataset.timestamps, dataset.behavior_ids, dataset.item_ids)
        found = list(zip(*(column[span].tolist() for column in columns), strict=True))
        assert found == expected
    assert dataset.users.tolist() == ["0", "1", "2", "3", "5"]  # row 4 is empty
    assert dataset.items.tolist() == [str(column) for column in range(9)]
    assert dataset.held_out_items.tolist() == [4, 0, 0, 9, 1]
    assert dataset.held_out_anywhere
    assert dataset.behaviors.target == "buy"
    assert not dataset.repeats
