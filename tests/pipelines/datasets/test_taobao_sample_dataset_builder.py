import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds

from pipelines.datasets.prepared_records import read_prepared
from pipelines.datasets.taobao_sample.item_lists import read_item_lists
from pipelines.datasets.taobao_sample.taobao_sample_dataset_builder import TaobaoSample
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError

from .records import events_of

DUMMY_DATA = pathlib.Path(TaobaoSample.code_path).parent / "dummy_data"

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")


class TaobaoSampleTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = TaobaoSample
    SPLITS = {"train": 4}  # noqa: RUF012


def read(source, directory):
    builder = TaobaoSample(data_dir=directory, source=source)
    builder.download_and_prepare()
    return read_prepared(builder, "taobao_sample")


def test_records_are_the_lists(tmp_path):
    dataset = read(DUMMY_DATA, tmp_path)
    expected = {
        (user, item, behavior, 0)
        for behavior in ("view", "cart", "buy")
        for line in (DUMMY_DATA / behavior / "train.txt").read_text().splitlines()
        for user, *items in [line.split()]
        for item in items
    }
    events = events_of(dataset)
    assert len(events) == len(expected)
    assert set(events) == expected
    for start, end in zip(dataset.offsets[:-1], dataset.offsets[1:], strict=True):
        assert sorted(dataset.behavior_ids[start:end]) == dataset.behavior_ids[start:end].tolist()
    assert dataset.users.tolist() == ["0", "1", "2", "3"]
    assert dataset.items.tolist() == [str(item) for item in range(7)]  # 6 is a test item alone
    assert dataset.held_out_items.tolist() == [3, 1, 7, 0]
    assert dataset.repeats
    assert not dataset.held_out_anywhere


def test_the_order_of_a_list_means_nothing(tmp_path):
    shuffled = tmp_path / "raw"
    shutil.copytree(DUMMY_DATA, shuffled)
    (shuffled / "view" / "train.txt").write_text("3\t5\t1\n0\t2\t3\t1\n1\t4\t0\n2\t5\n")
    first, second = read(DUMMY_DATA, tmp_path / "1"), read(shuffled, tmp_path / "2")
    assert first.fingerprint == second.fingerprint


def test_the_last_purchase_is_validated_after_all_views_and_carts(tmp_path):
    splits = split(read(DUMMY_DATA, tmp_path))
    log, asked = splits.dataset, splits.validation
    assert asked.users.tolist() == [0, 1, 2]
    for user, end, item in zip(asked.users, asked.ends, asked.positives, strict=True):
        assert end == log.offsets[user + 1] - 1
        assert log.item_ids[end] == item
        assert log.behavior_ids[end] == log.behaviors.target_id


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0\t1\n1\tx\n", "line 2 must hold whole numbers"),
        (b"0\t1\n1\t-1\n", "line 2 must be a user and items"),
        (b"0\n", "line 1 must be a user and items"),
        (b"0\t99999999\n", "line 1 must be a user and items"),
        (b"0\t1\t2\t1\n", "line 1 names an item twice"),
        (b"0\t1\n0\t2\n", "two lines for the same user"),
        (b"\n", "is empty"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(content, message):
    with pytest.raises(InputError, match=message):
        read_item_lists(content, "buy/train.txt")


def test_missing_files_are_named(tmp_path):
    shutil.copytree(DUMMY_DATA / "view", tmp_path / "view")
    with pytest.raises(InputError, match=r"lacks cart/train\.txt, buy/train\.txt, buy/test\.txt"):
        TaobaoSample.sources(None).locate(tmp_path)
