import csv
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow_datasets as tfds
import typer

from pipelines.cli.log_options import takes_log
from pipelines.datasets import load_dataset, load_log
from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.tianchi.tianchi_dataset_builder import Tianchi
from pipelines.runtime.errors import InputError

from .records import events_of

DUMMY_DATA = pathlib.Path(Tianchi.code_path).parent / "dummy_data"
LOG = DUMMY_DATA / "user_log_format1.csv"
LABELS = (("0", "pv"), ("3", "fav"), ("1", "cart"), ("2", "buy"))

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")


class TianchiTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Tianchi
    SPLITS = {"train": 5}  # noqa: RUF012


@pytest.mark.parametrize("config", ["text", "raw"])
def test_kinds(config, tmp_path):
    dataset = load_dataset(f"tianchi/{config}", DUMMY_DATA, tmp_path)
    assert dataset.behaviors == Tianchi.BEHAVIORS
    assert dataset.behaviors.names == ("pv", "fav", "cart", "buy")
    assert dataset.behaviors.target == "buy"
    assert dataset.repeats is Tianchi.REPEATS is True


def test_records_are_the_rows(tmp_path):
    names = {"0": "pv", "1": "cart", "2": "buy", "3": "fav"}
    with open(LOG, newline="") as file:
        rows = [
            (row["user_id"], row["item_id"], names[row["action_type"]], int(row["time_stamp"]))
            for row in csv.DictReader(file)
        ]
    assert len(rows) > len(set(rows))  # events repeated within a day count
    dataset = load_dataset("tianchi/raw", DUMMY_DATA, tmp_path)
    assert events_of(dataset) == sorted(rows, key=lambda row: (int(row[0]), row[3]))
    assert dataset.items.tolist() == sorted({row[1] for row in rows}, key=int)
    assert not dataset.held_out_items.any()


def test_an_archive_is_as_good_as_the_file(tmp_path, write_zip):
    files = {f"data_format1/{name}": "" for name in ("train_format1.csv", "test_format1.csv")}
    files |= {"__MACOSX/data_format1/user_log_format1.csv": "x"}
    files |= {"data_format1/user_log_format1.csv": LOG.read_bytes()}
    archive = write_zip(tmp_path / "data_format1.zip", files)
    (tmp_path / "loose" / "data_format1").mkdir(parents=True)
    (tmp_path / "loose" / "data_format1" / LOG.name).write_bytes(LOG.read_bytes())
    expected = events_of(load_dataset("tianchi/raw", LOG, tmp_path / "cache"))
    for source in (archive, tmp_path, tmp_path / "loose"):
        assert events_of(load_dataset("tianchi/raw", source, tmp_path / "cache")) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7,57,57,8,27,0901", "this line has 6 fields instead of 7"),
        ("7,,57,8,27,0901,0", "the item is missing"),
        ("7,57,57,8,27,0901,", "the behaviour is missing"),
        ("7,57,57,8,27,0901,4", "'4' is not one of the named behaviours"),
        ("7,57,57,8,27,0901,pv", "'pv' is not one of the named behaviours"),
        ("7,57,57,8,27,,0", "the time is missing"),
    ],
)
def test_a_bad_row_is_named_and_leaves_nothing(row, message, tmp_path):
    content = LOG.read_text()
    file, cache = tmp_path / LOG.name, tmp_path / "cache"
    file.write_text(f"{content}{row}\n")
    with pytest.raises(InputError) as caught:
        load_dataset("tianchi/raw", file, cache)
    line = content.count("\n") + 1
    assert str(caught.value).startswith(f"{file} line {line}: {message}")
    left = [path.name for path in cache.rglob("*") if path.is_file()]
    assert set(left) <= {"metadata.json"}  # TFDS's list of configurations
    assert not list(cache.rglob("scratch.*")) + list(cache.rglob("incomplete.*"))

    file.write_text(content)
    assert load_dataset("tianchi/raw", file, cache).num_users == 5


def spec_of(path, **changes):
    options = {"user": "user_id", "item": "item_id", "behavior": "action_type"}
    options |= {"time": "time_stamp", "labels": LABELS, "target": "buy", "keep_duplicates": True}
    return LogSpec((str(path),), **(options | changes))


def test_labels_of_an_own_log(tmp_path):
    expected = events_of(load_dataset("tianchi/raw", LOG, tmp_path))
    assert events_of(load_log(spec_of(LOG), tmp_path)) == expected


@pytest.mark.parametrize("kind", [pa.int8(), pa.float64(), pa.string()])
def test_labels_of_codes_in_parquet(kind, tmp_path):
    columns = {
        "user_id": [1, 1, 1],
        "item_id": [5, 6, 7],
        "time_stamp": [1, 2, 3],
        "action_type": pa.array([2, 0, 3]).cast(kind),
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "log.parquet")
    dataset = load_log(spec_of(tmp_path / "log.parquet"), tmp_path)
    assert [behavior for _, _, behavior, _ in events_of(dataset)] == ["buy", "pv", "fav"]


def test_several_values_for_one_behaviour(tmp_path):
    labels = (("0", "look"), ("3", "want"), ("1", "want"), ("2", "buy"))
    dataset = load_log(spec_of(LOG, labels=labels), tmp_path)
    renamed = {"pv": "look", "fav": "want", "cart": "want", "buy": "buy"}
    assert dataset.behaviors.names == ("look", "want", "buy")
    assert events_of(dataset) == [
        (user, item, renamed[behavior], time)
        for user, item, behavior, time in events_of(load_log(spec_of(LOG), tmp_path))
    ]


def test_labels_quote_what_sql_would_read(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,action_type,time_stamp\n1,5,it's,3\n")
    spec = spec_of(tmp_path / "log.csv", labels=(("it's", "b'uy"),), target="b'uy")
    assert events_of(load_log(spec, tmp_path)) == [("1", "5", "b'uy", 3)]


def test_labels_survive_json():
    spec = spec_of(LOG)
    values = json.loads(json.dumps(spec.to_dict()))
    assert values == spec.to_dict()
    assert LogSpec.from_dict(values) == spec
    assert spec.known_behaviors == ("pv", "fav", "cart", "buy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"behavior": None}, "labels need a behaviour column"),
        ({"behavior": None, "rating": "r", "levels": "buy"}, "labels need a behaviour column"),
        ({"behaviors": ("pv", "buy")}, "the labels already name the behaviours"),
        ({"labels": (("0", "pv"), ("0", "buy"))}, "the value '0' cannot have two labels"),
        ({"labels": (("0", ""), ("1", "buy"))}, "each label must be a value"),
        ({"labels": (("0",), ("1", "buy"))}, "each label must be a value"),
        ({"labels": (("0", " "), ("1", "buy"))}, "must have names that differ"),
        ({"target": "order"}, "the target 'order' is not one of the behaviours pv, fav, cart, buy"),
        ({"target": None}, "must be named as the target, one of pv, fav, cart, buy"),
    ],
)
def test_labels_that_do_not_fit(changes, message):
    with pytest.raises(InputError, match=message):
        spec_of(LOG, **changes)


@pytest.fixture
def parse():
    """Returns a function from command line options to the `LogSpec` that they describe."""
    seen = []
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @takes_log
    def command(log=None):
        seen.append(log)

    def call(*arguments):
        app(list(arguments), standalone_mode=False)
        return seen[-1]

    return call


def test_labels_on_the_command_line(parse):
    common = ["--user", "user_id", "--item", "item_id", "--behavior", "action_type"]
    common += ["--time", "time_stamp", "--target", "buy", "--keep-duplicates"]
    log = ["--log", str(LOG), *common]
    assert parse(*log, "--labels", "0=pv, 3 = fav,1=cart,2=buy") == spec_of(LOG)
    for bad in ("0=pv,buy", "0=pv,=buy", "0=", "0=pv=buy", ","):
        with pytest.raises(InputError, match="in the labels is not of the form VALUE=NAME"):
            parse(*log, "--labels", bad)
    with pytest.raises(InputError, match="the labels already name the behaviours"):
        parse(*log, "--labels", "0=pv,2=buy", "--behaviors", "pv,buy")
    with pytest.raises(InputError, match="--labels describes a log"):
        parse("--labels", "0=pv")
