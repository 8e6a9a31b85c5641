import pathlib

import tensorflow_datasets as tfds

from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.own_log.own_log_dataset_builder import OwnLog
from pipelines.datasets.prepared_records import read_prepared

DUMMY_DATA = pathlib.Path(OwnLog.code_path).parent / "dummy_data"
SPEC = LogSpec(
    (str(DUMMY_DATA / "events.csv"),),
    user="user_id",
    item="item_id",
    behavior="event",
    time="timestamp",
    target="buy",
)


class DummyLog(OwnLog):
    """A user's log that TFDS's test can construct without arguments."""

    def __init__(self, **kwargs):
        super().__init__(**{"spec": SPEC, **kwargs})


class OwnLogTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = DummyLog
    EXAMPLE_DIR = str(DUMMY_DATA)
    SPLITS = {"train": 3}  # noqa: RUF012


def test_tfds_reads_what_was_prepared(tmp_path):
    """The records are ordinary TFDS records, which its features can decode."""
    builder = OwnLog(spec=SPEC, data_dir=tmp_path)
    builder.download_and_prepare()
    dataset = read_prepared(builder, "log/events")
    examples = list(tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False)))
    assert [example["user"].decode() for example in examples] == ["ann", "bob", "cleo"]
    assert dataset.users.tolist() == ["ann", "bob", "cleo"]
    for row, example in enumerate(examples):
        span = slice(dataset.offsets[row], dataset.offsets[row + 1])
        assert example["item_ids"].tolist() == dataset.item_ids[span].tolist()
        assert example["behavior_ids"].tolist() == dataset.behavior_ids[span].tolist()
        assert example["timestamps"].tolist() == dataset.timestamps[span].tolist()
        assert example["held_out_item"] == 0
    assert builder.info.metadata["items"] == ["cup", "pot", "tea"]
    assert dataset.report.dropped[0].events == 1
