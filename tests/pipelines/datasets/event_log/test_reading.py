"""Complete logs: all file formats agree, and no event is lost, invented or out of order."""

import datetime

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.datasets import interaction_dataset
from pipelines.runtime.errors import InputError

from . import reference

BEHAVIORS = ("view", "cart", "buy")
ROWS = [
    ("u2", "b", "view", 5),
    ("u10", "a", "buy", 7),
    ("u2", "a", "buy", 5),  # a tie: the row before comes first
    ("u2", "b", "cart", -3),
    ("u10", "a", "buy", 7),  # a duplicate
    ("u2", "b", "view", 5),  # another
]
FORMS = ("log.csv", "log.csv.gz", "log.parquet", "log.jsonl", "log.jsonl.gz")

ids = st.text(
    st.characters(exclude_characters="\0\n\r\ufeff", exclude_categories=["Cs"]),
    min_size=1,
    max_size=3,
)


@st.composite
def logs(draw):
    """Rows of few users, items and times, so that they repeat and the rules have work."""
    users, items = (draw(st.lists(ids, min_size=1, max_size=4, unique=True)) for _ in range(2))
    row = st.tuples(*map(st.sampled_from, (users, items, BEHAVIORS, range(-2, 3))))
    return draw(st.lists(row, min_size=1, max_size=40))


def same(prepared, rows, **rules):
    users, items, histories = reference.prepared(rows, prepared.behaviors, **rules)
    assert prepared.users == users
    assert prepared.items == items
    assert prepared.histories == histories


@pytest.mark.parametrize("form", FORMS)
def test_a_log_by_hand(form, write_log, prepare):
    prepared = prepare(write_log(form, ROWS), behaviors=BEHAVIORS)
    assert prepared.users == ["u2", "u10"]
    assert prepared.items == ["a", "b"]
    assert prepared.histories == [[(2, 2, -3), (2, 1, 5), (1, 3, 5)], [(1, 3, 7)]]
    assert prepared.report.to_dict() == {
        "files": 1,
        "read": 6,
        "dropped": ({"reason": "duplicate", "events": 2, "example": None},),
        "events": 4,
        "users": 2,
        "items": 2,
        "behaviors": {"view": 1, "cart": 1, "buy": 2},
        "target": "buy",
        "inferred_order": False,
        "repeats": False,
    }


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=logs(),
    form=st.sampled_from(FORMS),
    least=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    keep_duplicates=st.booleans(),
)
def test_no_event_is_lost_or_invented(rows, form, least, keep_duplicates, write_log, prepare):
    rules = {
        "min_item_count": least[0],
        "min_user_events": least[1],
        "keep_duplicates": keep_duplicates,
    }
    path = write_log(form, rows)
    if not reference.prepared(rows, BEHAVIORS, **rules)[0]:
        with pytest.raises(InputError, match="no event left"):
            prepare(path, behaviors=BEHAVIORS, **rules)
        return
    prepared = prepare(path, behaviors=BEHAVIORS, **rules)
    same(prepared, rows, **rules)
    report = prepared.report
    assert report.read == len(rows)
    assert report.read == report.events + sum(each.events for each in report.dropped)
    assert report.events == sum(map(len, prepared.histories)) == sum(report.behaviors.values())


def test_files_come_one_after_the_other(write_log, prepare, tmp_path):
    """Files may have different formats; patterns and directories find them by name."""
    parts = [ROWS[:2], ROWS[2:4], ROWS[4:]]
    names = ("a.csv", "b.parquet", "c.jsonl")
    paths = [
        write_log(name, part, folder=tmp_path) for name, part in zip(names, parts, strict=True)
    ]
    (tmp_path / "_SUCCESS").touch()
    for files in (paths, [tmp_path], [tmp_path / "[a-c].*"], [*paths, paths[0]]):
        prepared = prepare(*files, behaviors=BEHAVIORS)
        same(prepared, ROWS)
        assert prepared.report.files == 3
    backwards = prepare(*paths[::-1], behaviors=BEHAVIORS)
    same(backwards, [*parts[2], *parts[1], *parts[0]])


def test_the_cut_into_shards_changes_nothing(write_log, prepare, monkeypatch):
    rows = [(f"u{n % 7}", f"i{n % 5}", "buy", n % 11) for n in range(100)]
    path = write_log("log.parquet", rows)
    whole = prepare(path)
    for events in (1, 10, 33, 100):
        monkeypatch.setattr(interaction_dataset, "_EVENTS_PER_SHARD", events)
        cut = prepare(path)
        assert (cut.users, cut.histories) == (whole.users, whole.histories)
        assert cut.shards > 1 or events == 100
    same(whole, rows)


def test_order_of_behaviors_from_their_frequency(write_log, prepare):
    rows = [(f"u{n}", "i", "buy", n) for n in range(5)]
    rows += [(f"u{n}", "i", "wish", n) for n in range(3)]
    rows += [(f"u{n}", "i", "cart", n) for n in range(3)]
    rows += [("u0", "i", "view", 9)]
    prepared = prepare(write_log("log.csv", rows))
    assert prepared.behaviors == ("cart", "wish", "view", "buy")  # ties by name, the target last
    assert prepared.report.inferred_order


@pytest.mark.parametrize(("item", "repeated"), [("i0", True), ("seen", True), ("new", False)])
def test_whether_items_repeat_is_seen_from_the_target_events(item, repeated, write_log, prepare):
    rows = [("u", f"i{n}", "buy", n) for n in range(99)] + [("u", "seen", "view", 0)]
    rows += [("u", f"i{n}", "view", 1000 + n) for n in range(99)]  # later events prove nothing
    rows += [("u", item, "buy", 500)]
    assert prepare(write_log("log.csv", rows)).repeats == repeated  # 1 of 100
    assert prepare(write_log("log.csv", rows), repeats=not repeated).repeats != repeated


def test_ratings_become_behaviors(write_log, prepare):
    rows = [("u", f"i{n}", stars, n) for n, stars in enumerate((0.5, 2, 2.5, 3.999, 4, 5))]
    options = {
        "behavior": None,
        "rating": "kind",
        "levels": "dislike<=2, neutral<4, like",
        "target": "like",
    }
    for form in FORMS:
        prepared = prepare(write_log(form, rows), **options)
        assert prepared.behaviors == ("dislike", "neutral", "like")
        assert [behavior for _, behavior, _ in prepared.histories[0]] == [1, 1, 2, 2, 3, 3]


def test_a_log_without_time_is_in_the_order_of_its_rows(write_log, prepare):
    rows = [("u", "b", "buy"), ("u", "a", "view"), ("u", "b", "buy")]
    prepared = prepare(write_log("log.csv", rows, ("user", "item", "kind")), time=None)
    # Without times, a repeated row is another event.
    assert prepared.histories == [[(2, 2, 0), (1, 1, 0), (2, 2, 0)]]


def test_a_log_of_one_kind_of_event(write_log, prepare):
    path = write_log("log.csv", [("u", "a", 2), ("u", "b", 1)], ("user", "item", "time"))
    prepared = prepare(path, behavior=None, target=None)
    assert prepared.behaviors == ("interaction",)
    assert prepared.histories == [[(2, 1, 1), (1, 1, 2)]]
    assert prepare(path, behavior=None, target="play").behaviors == ("play",)


def test_files_without_a_header(tmp_path, prepare):
    path = tmp_path / "log.dat"
    path.write_text("u1::i1::5::view\nu1::i2::3::buy\n")
    columns = ("user", "item", "time", "kind")
    assert prepare(path, columns=columns).histories == [[(2, 2, 3), (1, 1, 5)]]
    with pytest.raises(InputError, match=r"line 1 has 4 fields, but 2 columns are named"):
        prepare(path, columns=("user", "item"), behavior=None, time=None)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " "])
def test_delimiters_are_found(delimiter, tmp_path, prepare):
    path = tmp_path / "log.txt"
    lines = ("user item kind time", "u1 i1 view 5", "u1 i2 buy 3")
    path.write_text("\r\n".join(line.replace(" ", delimiter) for line in lines))
    assert prepare(path).histories == [[(2, 2, 3), (1, 1, 5)]]


def test_nested_events(tmp_path, prepare):
    path = tmp_path / "sessions.jsonl"
    path.write_text(
        '{"session": 12, "events": [{"item": 5, "time": 9, "kind": "view"}, '
        '{"item": 7, "time": 9, "kind": "buy"}]}\n\n'
        '{"session": 3, "events": []}\n'
        '{"session": 4, "events": [{"item": 7, "time": 1, "kind": "buy", "more": true}]}\n'
    )
    prepared = prepare(path, user="session", events="events")
    assert prepared.users == ["4", "12"]
    assert prepared.items == ["5", "7"]
    assert prepared.histories == [[(2, 2, 1)], [(1, 1, 9), (2, 2, 9)]]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # Exact times decide the order, before they are rounded down.
        (("1.5", "1.25", "-0.5", "1"), [(3, -1), (4, 1), (2, 1), (1, 1)]),
        (("9223372036854775807", "9223372036854775806"), [(2, 2**63 - 2), (1, 2**63 - 1)]),
        (("1e3", "999.000000001"), [(2, 999), (1, 1000)]),
        (
            ("2024-01-01T00:00:00.5Z", "2024-01-01 01:00:00.25+01:00", "2024-01-01"),
            [(3, 1704067200), (2, 1704067200), (1, 1704067200)],
        ),
        (("1969-12-31 23:59:59.5", "1970-01-01"), [(1, -1), (2, 0)]),
    ],
)
def test_times(texts, expected, write_log, prepare):
    rows = [("u", f"i{n}", "buy", text) for n, text in enumerate(texts, start=1)]
    for form in ("log.csv", "log.jsonl", "log.parquet"):
        (history,) = prepare(write_log(form, rows)).histories
        assert [(item, time) for item, _, time in history] == expected


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([3, 1], pa.int8(), [1, 3]),
        ([2**63 - 1, 1], pa.uint64(), [1, 2**63 - 1]),
        ([1.75, 1.5], pa.float32(), [1, 1]),
        ([86_400, 0], pa.timestamp("s"), [0, 86_400]),
        ([1_999, -1], pa.timestamp("ms"), [-1, 1]),
        ([1_999_999, -1], pa.timestamp("us", "Europe/Paris"), [-1, 1]),
        ([1_999_999_999, -1], pa.timestamp("ns"), [-1, 1]),
        ([1, 0], pa.date32(), [0, 86_400]),
    ],
)
def test_times_of_parquet(values, kind, expected, tmp_path, prepare):
    table = pa.table(
        {
            "user": pa.array([1.0, 1.0]),  # as pandas writes integers if some are missing
            "item": pa.array([20, 3], pa.int16()),
            "kind": pa.array(["buy", "buy"]).dictionary_encode(),
            "time": pa.array(values, kind),
        }
    )
    pa.parquet.write_table(table, tmp_path / "log.parquet")
    prepared = prepare(tmp_path / "log.parquet")
    assert prepared.users == ["1"]
    assert prepared.items == ["3", "20"]
    assert [time for *_, time in prepared.histories[0]] == expected
    assert [item for item, *_ in prepared.histories[0]] == [1, 2]


def test_a_day_is_its_first_second(tmp_path, prepare):
    table = pa.table(
        {"user": ["u"], "item": ["i"], "kind": ["buy"], "time": [datetime.date(2024, 1, 1)]}
    )
    pa.parquet.write_table(table, tmp_path / "log.parquet")
    assert prepare(tmp_path / "log.parquet").histories == [[(1, 1, 1_704_067_200)]]


def test_rare_items_and_short_users_take_turns(write_log, prepare):
    """Dropping `b` leaves u2 too short, which leaves `c` too rare."""
    rows = [("u1", "a", "buy", n) for n in range(3)] + [("u1", "c", "buy", 5)]
    rows += [("u2", "b", "buy", 1), ("u2", "c", "buy", 2), ("u3", "a", "buy", 1)]
    prepared = prepare(write_log("log.csv", rows), min_item_count=2, min_user_events=2)
    assert prepared.users == ["u1"]
    assert prepared.items == ["a"]
    assert [(each.reason, each.events) for each in prepared.report.dropped] == [
        ("duplicate", 0),
        ("item with fewer than 2 events", 2),
        ("user with fewer than 2 events", 2),
    ]
    # Dropping u3 leaves `a` too rare, which leaves u1 too short.
    rows = [("u1", "a", "buy", 1), ("u1", "b", "buy", 2), ("u3", "a", "buy", 1)]
    rows += [("u2", "b", "buy", 1), ("u2", "b", "buy", 2)]
    prepared = prepare(write_log("log.csv", rows), min_item_count=2, min_user_events=2)
    assert (prepared.users, prepared.items) == (["u2"], ["b"])
