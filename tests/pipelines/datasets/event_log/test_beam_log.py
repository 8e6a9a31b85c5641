"""Logs prepared on Apache Beam equal those prepared without it."""

import dataclasses
import json
import pickle
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.datasets import load_dataset, load_log
from pipelines.datasets.event_log import BeamSettings, LogSpec, beam_log, beam_settings
from pipelines.datasets.event_log.beam_settings import BeamPipelines, input_error_of
from pipelines.datasets.event_log.reading import read_event_log
from pipelines.datasets.event_log.workspace import Workspace
from pipelines.runtime.errors import InputError

from . import reference
from .conftest import histories_of

pytestmark = pytest.mark.beam

pytest.importorskip("apache_beam")

BEHAVIORS = ("view", "cart", "buy")
LOG = {"user": "user", "item": "item", "behavior": "kind", "time": "time", "target": "buy"}


def random_rows(seed, number, users=12, items=9):
    """Returns rows with many ties and repeats."""
    rng = random.Random(seed)
    return [
        (
            f"u{rng.randrange(users)}",
            f"i{min(rng.randrange(items), rng.randrange(items))}",
            rng.choice(("view", "view", "view", "cart", "buy")),
            rng.randrange(-5, 15),
        )
        for _ in range(number)
    ]


def same_arrays(one, other):
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype or left.dtype.kind == "U", field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


def read(parent, spec, beam=None):
    """Returns what `read_event_log` reports on a log, and its users and histories per shard."""
    try:
        with Workspace(parent, beam) as workspace:
            log = read_event_log("log", spec, workspace)
            shards = [
                pickle.loads(pickle.dumps(each))() if beam else each() for each in log.shards()
            ]
            report = log.report
    finally:
        assert not list(parent.iterdir())  # nothing is left behind, whatever happens
    assert all(shard.items.tolist() == log.items.tolist() for shard in shards)
    assert (log.num_users, log.num_items, log.num_events) == (
        *(report.users, report.items),
        sum(shard.num_events for shard in shards),
    )
    users = [user for shard in shards for user in shard.users.tolist()]
    histories = [history for shard in shards for history in histories_of(shard)]
    content = (log.behaviors, log.repeats, log.items.tolist(), users, histories, report)
    return content, [shard.num_events for shard in shards]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Compares logs read with and without Beam; gives the report and the events per Beam shard."""
    parent = tmp_path_factory.mktemp("day=1 [of] 'work'")

    def compare(*files, **options):
        spec = LogSpec(tuple(map(str, files)), **{**LOG, **options})
        expected, _ = read(parent, spec)
        content, shards = read(parent, spec, BeamPipelines("DirectRunner"))
        assert content == expected
        return content[-1], shards

    def refuse(*files, **options):
        spec = LogSpec(tuple(map(str, files)), **{**LOG, **options})
        with pytest.raises(InputError) as expected:
            read(parent, spec)
        with pytest.raises(InputError) as caught:
            read(parent, spec, BeamPipelines("DirectRunner"))
        assert str(caught.value) == str(expected.value)
        return str(caught.value)

    compare.refuse = refuse
    return compare


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(beam_log, "_EVENTS_PER_SHARD", 40)


def test_files_of_all_forms_in_several_shards(write_log, tmp_path, both, small_shards):
    rows = random_rows(1, 300, users=25)
    for number, ending in enumerate(("csv", "parquet", "jsonl.gz")):
        write_log(f"{number}.{ending}", rows[100 * number :][:100], folder=tmp_path)
    report, shards = both(tmp_path)
    assert report.files == 3
    assert report.inferred_order
    assert report.dropped[0].events > 0
    assert len(shards) > 3
    assert max(shards) <= 2 * 40


def test_ties_across_files_and_unicode_ids(write_log, tmp_path, both):
    write_log("1.csv", [("é", "z", "view", 5), ("日本", "a,b", "buy", 5)], folder=tmp_path)
    write_log("0.csv", [("é", "a", "buy", 5), ("é", "z", "view", 5)], folder=tmp_path)
    write_log("2.csv", [("🛒", "ß", "buy", 1), ("ab", "z", "view", 2)], folder=tmp_path)
    both(tmp_path, behaviors=BEHAVIORS)
    both(tmp_path / "1.csv", tmp_path / "0.csv", tmp_path / "2.csv", time=None)


def test_rules_that_take_several_rounds(write_log, tmp_path, both, small_shards):
    # Each user shares one item with the next user, and the last user is one event short.
    chain = [(f"u{n}", f"i{n + step}", "buy", n) for n in range(4) for step in (0, 1)][:-1]
    write_log("0.csv", random_rows(2, 200) + chain, folder=tmp_path)
    write_log("1.csv", random_rows(3, 100), folder=tmp_path)
    chained = write_log("chain.csv", [*chain, *(("a", "x", "buy", n) for n in range(4))])
    report, shards = both(tmp_path, min_item_count=20, min_user_events=20)
    assert len(shards) > 1
    assert all(each.events for each in report.dropped)
    report, _ = both(chained, min_item_count=2, min_user_events=2)
    assert report.items == 1
    both(chained, min_item_count=2)
    both(chained, min_user_events=2)


def test_ratings_nested_events_and_kept_duplicates(write_log, tmp_path, both):
    rows = [(f"u{n % 7}", f"i{n % 5}", n % 11 / 2, n % 4) for n in range(60)]
    path = write_log("ratings.parquet", rows, ("user", "item", "stars", "time"))
    levels = {"behavior": None, "rating": "stars", "levels": "bad<=2,fair<4,good"}
    both(path, **levels, target="good", keep_duplicates=True)
    lines = [
        {"user": user, "list": [dict(zip(("item", "kind", "time"), row[1:], strict=True))] * 2}
        for user, *row in [(row[0], *row) for row in random_rows(4, 20)]
    ]
    nested = tmp_path / "nested.jsonl"
    nested.write_text("".join(json.dumps(line) + "\n" for line in lines))
    both(nested, events="list")


def test_skipped_rows_are_reported_alike(tmp_path, both):
    head = "user,item,kind,time\n"
    (tmp_path / "0.csv").write_text(head + "u1,a,buy,2024-01-01\nu1,a,buy\nu1,,view,2024-01-02\n")
    (tmp_path / "1.csv").write_text(head + ",a,buy,soon\nu2,,buy,2024-01-01\nu2,b,view\n")
    (tmp_path / "2.csv").write_text(head + "u3,b,view,later\n")  # times in no known format
    (tmp_path / "3.csv").write_text(head + "u3,b,view,2024-01-01T10:00:00.5Z\nu3,b,view,never\n")
    report, _ = both(tmp_path, skip_bad_rows=True)
    assert len(report.dropped) == 6  # malformed twice, a missing item, user and time; duplicates
    assert report.read == 9


@pytest.mark.parametrize(
    ("second", "options", "message"),
    [
        ("u3,b,buy,1\nu3,b,buy,soon\n", {}, "1.csv line 3: the time 'soon' is not"),
        (
            "u3,b,buy,2024-01-01\nu3,,buy,2024-01-01\n",
            {},
            "has dates as times and the files before",
        ),
        ("u3,b,buy,1\n", {"item": "thing"}, "0.csv has no column 'thing'"),
        ("u3,b,buy,1\n", {"target": "wish"}, "no event of the target 'wish'"),
        ("u3,b,buy,1\n", {"min_item_count": 9}, "no event left of 2"),
        ("u3,b,buy\n", {}, "1.csv line 2: this line has 3 fields instead of 4"),
    ],
)
def test_refused_with_the_same_sentence(second, options, message, tmp_path, both):
    head = "user,item,kind,time\n"
    (tmp_path / "0.csv").write_text(f"{head}u1,a,buy,1\n")
    (tmp_path / "1.csv").write_text(head + second)
    if "line" in message:  # only the first file with an error is reported
        (tmp_path / "2.csv").write_text(f"{head}u2,,buy,x\n")
    assert message in both.refuse(tmp_path, **options)


def test_a_log_of_bad_rows_alone(tmp_path, both):
    path = tmp_path / "log.csv"
    path.write_text("user,item,kind,time\n,a,buy,1\n")
    assert "no event left of 1" in both.refuse(path, skip_bad_rows=True)


ids = st.text(
    st.characters(exclude_characters="\0\n\r\ufeff", exclude_categories=["Cs"]),
    min_size=1,
    max_size=2,
)
rows = st.lists(
    st.tuples(ids, ids, st.sampled_from(BEHAVIORS), st.integers(-3, 3)), min_size=1, max_size=30
)


@settings(
    deadline=None,
    max_examples=3,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    logs=st.lists(rows, min_size=1, max_size=3),
    keep_duplicates=st.booleans(),
    least=st.integers(1, 3),
)
def test_any_log(logs, keep_duplicates, least, write_log, tmp_path_factory, both, small_shards):
    folder = tmp_path_factory.mktemp("any")
    for number, log in enumerate(logs):
        write_log(f"{number}.csv", log, folder=folder)
    options = {"behaviors": BEHAVIORS, "keep_duplicates": keep_duplicates, "min_item_count": least}
    all_rows = [row for log in logs for row in log]
    users, _, _ = reference.prepared(all_rows, BEHAVIORS, least, least, keep_duplicates)
    (both if users else both.refuse)(folder, **options, min_user_events=least)


def test_the_cache_does_not_tell_who_prepared(write_log, tmp_path, monkeypatch):
    monkeypatch.setattr(beam_log, "_EVENTS_PER_SHARD", 8)
    path = write_log("log.csv", random_rows(5, 120, users=14))
    spec = LogSpec((str(path),), **LOG)
    beam = load_log(spec, tmp_path / "beam", BeamSettings())
    local = load_log(spec, tmp_path / "local")
    same_arrays(beam, local)
    assert beam.fingerprint == local.fingerprint
    (folder,) = (tmp_path / "beam").glob("log-*")
    assert folder.name in [each.name for each in (tmp_path / "local").iterdir()]
    prepared = folder / "own_log" / "1.0.0"
    assert {each.name.split("-")[0] for each in prepared.iterdir()} == {
        *("dataset_info.json", "features.json", "metadata.json", "own_log")
    }
    # With more than ten shards, the lengths are in order only if shards are sorted as numbers.
    info = json.loads((prepared / "dataset_info.json").read_text())
    lengths = [int(length) for length in info["splits"][0]["shardLengths"]]
    records = sorted(prepared.glob("*.tfrecord*"))
    assert len(records) == len(lengths) > 10
    assert lengths == [count_records(each) for each in records]
    monkeypatch.setattr(beam_settings.BeamPipelines, "pipeline", None)
    same_arrays(beam, load_log(spec, tmp_path / "beam", BeamSettings("unknown")))


def count_records(path):
    import tensorflow as tf

    return sum(1 for _ in tf.data.TFRecordDataset(str(path)))


def test_nothing_is_left_of_a_refused_log(write_log, tmp_path):
    path = write_log("log.csv", [("u1", "a", "buy", 1), ("u3", "", "buy", 9)])
    with pytest.raises(InputError) as caught:
        load_log(LogSpec((str(path),), **LOG), tmp_path, BeamSettings())
    assert str(caught.value).startswith(f"{path} line 3: the item is missing;")
    assert [left for left in tmp_path.rglob("*") if left.is_file()] == []


def test_a_dataset_by_name(tmp_path):
    from pipelines.datasets.otto.otto_dataset_builder import Otto

    dummy = Otto.code_path.parent / "dummy_data"
    with pytest.warns(UserWarning, match="differs from the official files"):
        local = load_dataset("otto", dummy, tmp_path / "local")
    with pytest.warns(UserWarning, match="differs from the official files"):
        same_arrays(load_dataset("otto", dummy, tmp_path / "beam", beam=BeamSettings()), local)


def test_a_dataset_in_memory_does_without_beam(tmp_path):
    with pytest.raises(InputError, match=r"synthetic_shop/tiny fits into memory"):
        load_dataset("synthetic_shop/tiny", cache_dir=tmp_path, beam=BeamSettings())


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        (BeamSettings("NoRunner"), "Beam cannot use the runner 'NoRunner'"),
        (BeamSettings(options=("--direct_num_workers=two",)), "not accept its options .*'two'"),
    ],
)
def test_settings_that_beam_does_not_take(beam, message):
    with pytest.raises(InputError, match=message) as caught:
        beam.download_config()
    assert "\n" not in str(caught.value)


def test_without_beam(write_log, tmp_path, monkeypatch):
    monkeypatch.setattr(beam_settings.importlib.util, "find_spec", lambda name: None)
    path = write_log("log.csv", [("u1", "a", "buy", 1)])
    with pytest.raises(InputError, match=r"pip install 'hmar-keras\[beam\]'"):
        load_log(LogSpec((str(path),), **LOG), tmp_path, BeamSettings())
    assert load_log(LogSpec((str(path),), **LOG), tmp_path).num_events == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "OSError: [Errno 28] No space left on device [while running 'x']",
            "ran out of room .No s",
        ),
        ("...\nModuleNotFoundError: No module named 'pipelines'\n", "install hmar-keras.beam. on"),
        (
            "pipelines.runtime.errors.InputError: mend the file. [while running 'y']",
            "^mend the file.$",
        ),
        ("[Errno 2] No such file or directory: '/log'", "cannot find a file .No such file"),
    ],
)
def test_what_a_worker_says(text, message):
    with pytest.raises(InputError, match=message):
        raise input_error_of(RuntimeError(text))


def test_other_errors_of_a_worker_stay_as_they_are():
    assert input_error_of(RuntimeError("ZeroDivisionError: division by zero")) is None
