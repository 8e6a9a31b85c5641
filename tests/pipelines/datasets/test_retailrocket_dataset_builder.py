import csv
import pathlib

import pytest
import tensorflow_datasets as tfds

from pipelines.datasets import load_dataset
from pipelines.datasets.retailrocket.retailrocket_dataset_builder import Retailrocket
from pipelines.runtime.errors import InputError

from .records import events_of

DUMMY_DATA = pathlib.Path(Retailrocket.code_path).parent / "dummy_data"
EVENTS = DUMMY_DATA / "events.csv"

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")


class RetailrocketTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Retailrocket
    BUILDER_CONFIG_NAMES_TO_TEST = ("raw",)
    SPLITS = {"train": 6}  # noqa: RUF012


class RetailrocketCsrTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Retailrocket
    BUILDER_CONFIG_NAMES_TO_TEST = ("csr",)
    SPLITS = {"train": 5}  # noqa: RUF012


def test_records_are_the_rows(tmp_path):
    with open(EVENTS, newline="") as file:
        rows = [
            (row["visitorid"], row["itemid"], row["event"], int(row["timestamp"]))
            for row in csv.DictReader(file)
        ]
    assert len(rows) > len(set(rows))  # repeated rows count
    dataset = load_dataset("retailrocket", DUMMY_DATA, tmp_path)
    assert events_of(dataset) == sorted(rows, key=lambda row: (int(row[0]), row[3]))
    assert dataset.items.tolist() == sorted({row[1] for row in rows}, key=int)
    assert not dataset.held_out_items.any()


@pytest.mark.parametrize(
    ("name", "behaviors"),
    [
        ("retailrocket", ("view", "addtocart", "transaction")),
        ("retailrocket/csr", ("view", "cart", "buy")),
    ],
)
def test_kinds(name, behaviors, tmp_path):
    dataset = load_dataset(name, DUMMY_DATA, tmp_path)
    assert dataset.behaviors.names == behaviors
    assert dataset.behaviors.target == behaviors[-1]
    assert dataset.repeats is True


@pytest.mark.parametrize("folder", ["", "ecommerce/"])
def test_an_archive_is_as_good_as_the_file(folder, tmp_path, write_zip):
    files = {folder + "events.csv": EVENTS.read_bytes(), "category_tree.csv": "categoryid\n"}
    archive = write_zip(tmp_path / "archive.zip", files)
    unpacked = load_dataset("retailrocket", EVENTS, tmp_path / "cache")
    for source in (archive, tmp_path):
        packed = load_dataset("retailrocket", source, tmp_path / "cache")
        assert events_of(packed) == events_of(unpacked)


def test_nowhere_to_be_found(tmp_path):
    with pytest.raises(InputError, match=r"get archive.zip from https://www.kaggle.com.*--data-d"):
        load_dataset("retailrocket", cache_dir=tmp_path)
    with pytest.raises(InputError, match=r"has neither archive.zip nor the unpacked events.csv"):
        load_dataset("retailrocket", tmp_path, tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1440221332117,5,view", "this line has 3 fields instead of 5"),
        ("1440221332117,,view,7,", "the user is missing"),
        ("1440221332117,5,purchase,7,", "'purchase' is not one of the named behav"),
        ("yesterday,5,view,7,", "the time 'yesterday' is not a finite number"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_row_is_named_and_leaves_nothing(row, message, packed, tmp_path, write_zip):
    content = EVENTS.read_text()
    line = content.count("\n") + 1
    file, cache = tmp_path / "events.csv", tmp_path / "cache"
    file.write_text(content + row + "\n")
    source = file
    if packed:
        source = write_zip(tmp_path / "any.zip", {"events.csv": file.read_text()})
    place = f"events.csv in {source}" if packed else str(file)
    with pytest.raises(InputError) as caught:
        load_dataset("retailrocket", source, cache)
    assert str(caught.value).startswith(f"{place} line {line}: {message}")
    left = [path.name for path in cache.rglob("*") if path.is_file()]
    assert set(left) <= {"metadata.json"}  # TFDS's list of configurations
    assert not list(cache.rglob("scratch.*")) + list(cache.rglob("incomplete.*"))

    file.write_text(content)
    assert load_dataset("retailrocket", file, cache).num_users == 6
