import json
import pathlib

import pytest
import tensorflow_datasets as tfds

from pipelines.datasets import load_dataset
from pipelines.datasets.otto.otto_dataset_builder import Otto
from pipelines.runtime.errors import InputError

from .records import events_of

DUMMY_DATA = pathlib.Path(Otto.code_path).parent / "dummy_data"
SESSIONS = DUMMY_DATA / "otto-recsys-train.jsonl"
SMALL = (
    '{"session":1,"events":[{"aid":2,"ts":3,"type":"clicks"},{"aid":2,"ts":4,"type":"orders"}]}\n'
)

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")


class OttoTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Otto
    SPLITS = {"train": 5}  # noqa: RUF012


def test_records_are_the_sessions(tmp_path):
    rows = []
    for line in SESSIONS.read_text().splitlines():
        session = json.loads(line)
        rows += [
            (str(session["session"]), str(event["aid"]), event["type"], event["ts"])
            for event in session["events"]
        ]
    assert len(rows) > len(set(rows))  # repeated events count
    dataset = load_dataset("otto", DUMMY_DATA, tmp_path)
    assert events_of(dataset) == sorted(rows, key=lambda row: (int(row[0]), row[3]))
    assert dataset.items.tolist() == sorted({row[1] for row in rows}, key=int)
    assert dataset.behaviors.names == ("clicks", "carts", "orders")
    assert dataset.behaviors.target == "orders"
    assert dataset.repeats is True


@pytest.mark.parametrize("name", ["otto-recsys-train.jsonl", "train.jsonl"])
def test_either_name_packed_or_not(name, tmp_path, write_zip):
    expected = events_of(load_dataset("otto", DUMMY_DATA, tmp_path / "cache"))
    archive = "archive.zip" if name.startswith("otto") else "otto-recommender-system.zip"
    (tmp_path / "packed").mkdir()
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / name).write_bytes(SESSIONS.read_bytes())
    files = {name: SESSIONS.read_bytes(), "test.jsonl": SMALL}
    packed = write_zip(tmp_path / "packed" / archive, files)
    renamed = write_zip(tmp_path / "sessions.zip", files)
    for source in (packed, packed.parent, renamed, tmp_path / "loose", tmp_path / "loose" / name):
        assert events_of(load_dataset("otto", source, tmp_path / "cache")) == expected


def test_the_file_that_is_named_is_the_one_that_is_read(tmp_path):
    (tmp_path / "otto-recsys-train.jsonl").write_bytes(SESSIONS.read_bytes())
    (tmp_path / "train.jsonl").write_text(SMALL)
    cache = tmp_path / "cache"
    assert load_dataset("otto", tmp_path / "train.jsonl", cache).num_users == 1
    assert load_dataset("otto", tmp_path / "otto-recsys-train.jsonl", cache).num_users == 5
    assert load_dataset("otto", tmp_path, cache).num_users == 5


def test_nowhere_to_be_found(tmp_path):
    both = r"get archive.zip from .*, or get otto-recommender-system.zip from .* --data-dir\.$"
    with pytest.raises(InputError, match=both):
        load_dataset("otto", cache_dir=tmp_path)
    with pytest.raises(InputError, match=r"unpacked otto-recsys-train.jsonl.*unpacked train.j"):
        load_dataset("otto", tmp_path, tmp_path / "cache")
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"bad.zip is not a complete zip archive"):
        load_dataset("otto", tmp_path / "bad.zip", tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"session":7,"events":[{"aid":1', "this is not valid JSON"),
        ('{"session":7}', "the item is missing"),
        ('{"session":7,"events":[]}', None),
        ('{"events":[{"aid":1,"ts":2,"type":"clicks"}]}', "the user is missing"),
        ('{"session":7,"events":[{"aid":1,"ts":2}]}', "the behaviour is missing"),
        ('{"session":7,"events":[{"aid":1,"ts":2,"type":"click"}]}', "'click' is not one of the"),
        ('{"session":7,"events":[{"aid":1,"ts":"x","type":"clicks"}]}', "the time 'x' is not"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_line_is_named_and_leaves_nothing(line, message, packed, tmp_path, write_zip):
    content = SESSIONS.read_text()
    number = content.count("\n") + 1
    file, cache = tmp_path / "train.jsonl", tmp_path / "cache"
    file.write_text(content + line + "\n" + SMALL)
    source = file
    if packed:
        source = write_zip(tmp_path / "any.zip", {"train.jsonl": file.read_text()})
    place = f"train.jsonl in {source}" if packed else str(file)
    if message is None:
        assert load_dataset("otto", source, cache).num_users == 5
        return
    with pytest.raises(InputError) as caught:
        load_dataset("otto", source, cache)
    assert str(caught.value).startswith(f"{place} line {number}: {message}")
    left = [path.name for path in cache.rglob("*") if path.is_file()]
    assert set(left) <= {"metadata.json"}  # TFDS's list of configurations
    assert not list(cache.rglob("scratch.*")) + list(cache.rglob("incomplete.*"))

    file.write_text(content)
    assert load_dataset("otto", file, cache).num_users == 5
