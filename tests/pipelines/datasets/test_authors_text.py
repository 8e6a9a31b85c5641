import dataclasses
import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from hmar_keras.schema import Behaviors
from pipelines.datasets.authors_text import parse_events, read_text_log
from pipelines.datasets.csr_pickle import read_csr_log
from pipelines.datasets.numbered_log import held_out_item_ids
from pipelines.datasets.numeric_pickle import load_numeric_pickle
from pipelines.datasets.raw_files import RawFiles
from pipelines.runtime.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*after the test answer")

BEHAVIORS = Behaviors(("pv", "cart", "buy"), "buy")
USERS, ITEMS = 5, 6


def raw_files(folder, **contents):
    """Writes files from bytes, text, or an object to pickle."""
    for name, content in contents.items():
        if not isinstance(content, str | bytes):
            content = pickle.dumps(content)
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return RawFiles(folder, {name: str(folder / name) for name in contents})


def read(folder, text, tests):
    files = raw_files(folder, log=text, tests=tests)
    return read_text_log("log", BEHAVIORS, True, files, "log", "tests")


def as_records(dataset):
    """Returns, by user, the events as (time, item, behaviour) and the test item."""
    records = {}
    for row, user in enumerate(dataset.users.tolist()):
        span = slice(dataset.offsets[row], dataset.offsets[row + 1])
        items = dataset.items[dataset.item_ids[span] - 1].tolist()
        behaviors = [dataset.behaviors.names[b - 1] for b in dataset.behavior_ids[span]]
        events = list(zip(dataset.timestamps[span].tolist(), items, behaviors, strict=True))
        held_out = dataset.held_out_items[row]
        records[user] = (events, dataset.items[held_out - 1].item() if held_out else None)
    return records


def slow_records(text, tests):
    """Computes the same as `as_records` from the text, line by line."""
    rows = [line.split() for line in text.splitlines()]
    if not all(field.isdigit() for field in rows[0][:2]):
        rows = rows[1:]
    records = {}
    for user, test in enumerate(tests):
        events = [
            (place, str(int(item) - 1), behavior)
            for place, (owner, item, behavior) in enumerate(rows)
            if int(owner) == user + 1
        ]
        answer = None if test is None else str(test)
        buys = [event for event in events if event[2] == "buy"]
        if buys and buys[-1][1] == answer:
            events = [event for event in events if event < buys[-1]]
        if events or answer is not None:
            records[str(user)] = (events, answer)
    return records


EVENTS = st.tuples(st.integers(1, USERS), st.integers(1, ITEMS), st.sampled_from(BEHAVIORS.names))
TESTS = st.lists(st.none() | st.integers(0, ITEMS - 1), min_size=USERS, max_size=USERS)


@settings(max_examples=80, deadline=None)
@given(
    events=st.lists(EVENTS, min_size=1, max_size=40),
    tests=TESTS,
    header=st.sampled_from(["", "user item behavior", "user,item,behavior", "id"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    blank=st.sampled_from([" ", "\t", "  "]),
)
def test_equals_a_slow_reading(tmp_path_factory, events, tests, header, newline, blank):
    # A test item removes its buy and all later events of the user. The leading view is never
    # removed, so that the log is never empty.
    rows = [f"{user}{blank}{item}{blank}{kind}" for user, item, kind in [(1, 1, "pv"), *events]]
    text = newline.join([header] * bool(header) + rows) + newline
    dataset = read(tmp_path_factory.mktemp("text"), text, tests)
    assert as_records(dataset) == slow_records(text, tests)
    largest = max(item for _, item, _ in events)
    largest = max([largest] + [test + 1 for test in tests if test is not None])
    assert dataset.items.tolist() == [str(item) for item in range(largest)]


@settings(max_examples=60, deadline=None)
@given(events=st.lists(EVENTS, min_size=1, max_size=40, unique=True), tests=TESTS, data=st.data())
def test_both_forms_of_a_log_give_equal_records(tmp_path_factory, events, tests, data):
    folder = tmp_path_factory.mktemp("forms")
    # The log contains the last item, because the text does not give the number of columns.
    events = [*dict.fromkeys([*events, (1, ITEMS, "pv")])]
    steps = st.lists(st.integers(1, 99), min_size=len(events), max_size=len(events))
    times = np.cumsum(data.draw(steps))
    text = "".join(f"{user} {item} {kind}\n" for user, item, kind in events)
    from_text = read(folder, text, tests)

    answers = {}
    for event in events:
        if event[2] == "buy":
            answers[event[0]] = event
    ends = {
        user: events.index(answer)
        for user, answer in answers.items()
        if tests[user - 1] == answer[1] - 1
    }
    left = [
        (time, event)
        for place, (time, event) in enumerate(zip(times, events, strict=True))
        if place < ends.get(event[0], len(events))
    ]
    contents = {"tests": tests}
    for behavior in BEHAVIORS.names:
        of_kind = [(time, *event) for time, event in left if event[2] == behavior]
        cells = ([user - 1 for _, user, _, _ in of_kind], [item - 1 for _, _, item, _ in of_kind])
        values = np.array([time for time, *_ in of_kind], np.int64)
        contents[behavior] = scipy.sparse.csr_matrix((values, cells), shape=(USERS, ITEMS))
    files = raw_files(folder, **contents)
    from_csr = read_csr_log("log", BEHAVIORS, True, files, BEHAVIORS.names, "tests")

    for field in dataclasses.fields(from_csr):
        one, other = getattr(from_csr, field.name), getattr(from_text, field.name)
        if field.name == "timestamps":
            other = times[other]
        np.testing.assert_array_equal(one, other)
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None), field.name


def test_answer_in_the_log_is_taken_out_and_what_comes_after(tmp_path):
    text = "user item behavior\n1 2 pv\n1 3 buy\n1 2 buy\n2 1 pv\n1 2 pv\n1 4 cart\n"
    with pytest.warns(UserWarning, match="log: 2 events after the test answer of their user"):
        dataset = read(tmp_path, text, [1, None])
    # Earlier events on the same item stay.
    assert as_records(dataset) == {
        "0": ([(0, "1", "pv"), (1, "2", "buy")], "1"),
        "1": ([(3, "0", "pv")], None),
    }


def test_only_the_last_of_equal_purchases_is_taken_out(tmp_path):
    dataset = read(tmp_path, "1 1 pv\n1 2 buy\n1 2 buy\n", [1])
    assert as_records(dataset) == {"0": ([(0, "0", "pv"), (1, "1", "buy")], "1")}


@pytest.mark.parametrize(
    "text",
    [
        "1 2 buy\n1 3 buy\n",  # bought before, but not last
        "1 3 buy\n1 2 pv\n1 2 cart\n",  # not bought
        "1 2 pv\n2 2 buy\n",  # bought by a user who is not listed
    ],
)
def test_answer_outside_of_the_log_leaves_it_alone(tmp_path, text):
    dataset = read(tmp_path, text, [1, None])
    assert dataset.num_events == text.count("\n")
    assert dataset.held_out_items[0] == 2


def test_user_of_only_the_answer_stays(tmp_path):
    dataset = read(tmp_path, "1 2 buy\n3 1 pv\n", [1, None, None])
    assert as_records(dataset) == {"0": ([], "1"), "2": ([(1, "0", "pv")], None)}
    with pytest.raises(InputError, match="log: the log is empty"):
        read(tmp_path, "1 2 buy\n", [1])


def test_object_array_and_larger_test_item(tmp_path):
    dataset = read(tmp_path, "1 2 pv\n2 1 buy\n", np.array([np.int64(7), None], object))
    assert dataset.num_items == 8
    assert dataset.held_out_items.tolist() == [8, 0]


def test_ends_of_lines_and_byte_order_mark():
    for content in (
        b"\xef\xbb\xbf1 2 buy\n3 4 pv",
        b"1 2 buy\r3 4 pv\r",
        b"  1 2\tbuy \n3 4 pv\n\n",
    ):
        columns = parse_events(content, "label", BEHAVIORS, 3)
        assert [column.tolist() for column in columns] == [[0, 2], [2, 4], [3, 1]]
        assert {column.dtype.name for column in columns} == {"int32"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "label is empty"),
        (b" \r\n\n", "label is empty"),
        (b"user item behavior\n", "label has no events, only a header line"),
        (b"1 2 buy\n1 2\n", "label, line 2: there must be 3 fields, .*, got 2"),
        (b"1 2 buy 4\n", "label, line 1: there must be 3 fields, .*, got 4"),
        (b"head\n1 2 buy\n\n1 2 buy\n", "label, line 3: there must be 3 fields, .*, got 0"),
        (b"\n1 2 buy\n", "label, line 1: there must be 3 fields, .*, got 0"),
        (b"1,2,buy\n3,4,buy\n", "label, line 2: there must be 3 fields, .*, got 1"),
        (b"head\n1 two buy\n", "label, line 2: the item must be a whole number .* got 'two'"),
        (b"head\n1.0 2 buy\n", "label, line 2: the user must be a whole number .* got '1.0'"),
        (b"1 2 buy\n0x1 2 buy\n", "label, line 2: the user must be .* got '0x1'"),
        (b"1 2 buy\n1 +2 buy\n", r"label, line 2: the item must be .* got '\+2'"),
        (b'1 2 buy\n"1" 2 buy\n', "label, line 2: the user must be a whole number"),
        (b"1 2 buy\r\n0 2 buy\r\n", "label, line 2: the user must be .* from 1 to 9, .* got '0'"),
        (b"-1 2 buy\n", "label, line 1: the user must be .* from 1 .* got '-1'"),
        (b"1 2 buy\n1 2 pv\n10 2 buy\n", "line 3: .* to 9, the length of the list of test items"),
        (b"1 2 buy\n1 99999999 buy\n", "label, line 2: the item must be .* from 1 to 20000000"),
        (b"1 2 buy\n1 " + b"9" * 5000 + b" buy\n", "label, line 2: the item must be"),
        (b"1 2 buy\n1 2 sell\n", "label, line 2: the behaviour must be one of pv, cart, buy; got"),
        (b"1 2 buy\n1 2 NULL\n", "label, line 2: the behaviour must be .* got 'NULL'"),
        (b"1 2 buy\n1 2 \xe9t\xe9\n", "label, line 2: there are bytes that are not ASCII"),
        ("1 2 buy\n1 2 buy\n".encode("utf-16"), "label, line 2: the user must be"),
        (b"\x80\x04\x95\n1 2 buy\n\x8e\xff\n", "label, line 3: there are bytes that are not ASCII"),
    ],
)
def test_first_bad_line_is_named(content, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_events(content, "label", BEHAVIORS, 9)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (np.array(5), "tests must be a list with one entry for each user"),
        (np.zeros((2, 2), int), "tests must be a list"),
        ([1, -1], "tests: entry 1 must be from 0 to 19999999, got -1"),
        ([1, 1 << 40], "tests: entry 1 must be from 0"),
        ([None, 1.5], "tests: entry 1 must be None or a whole number"),
    ],
)
def test_bad_test_lists(tmp_path, tests, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, "1 2 buy\n", tests)
    assert "\n" not in str(caught.value)


def test_a_million_lines(tmp_path):
    rng = np.random.default_rng(0)
    users, items = rng.integers(1, 1001, 1_000_000), rng.integers(1, 2001, 1_000_000)
    kinds = np.array(BEHAVIORS.names)[rng.integers(0, 3, 1_000_000)]
    rows = zip(users.tolist(), items.tolist(), kinds.tolist(), strict=True)
    dataset = read(tmp_path, "".join(f"{u} {i} {b}\n" for u, i, b in rows), [None] * 1000)
    order = np.argsort(users, kind="stable")
    np.testing.assert_array_equal(dataset.item_ids, items[order])
    np.testing.assert_array_equal(dataset.timestamps, order)
    np.testing.assert_array_equal(np.array(BEHAVIORS.names)[dataset.behavior_ids - 1], kinds[order])


@pytest.mark.parametrize(
    ("name", "num_users"),
    [("Tmall", 147_894), ("Yelp", 19_800), ("ml10mnew", 67_788), ("Tianchi", 25_000)],
)
def test_the_papers_test_lists(name, num_users, real_data):
    file = real_data(f"test_lists/{name}_tst_int")
    items = held_out_item_ids(name, load_numeric_pickle(file.read_bytes(), name))
    assert len(items) == num_users
    assert (items > 0).sum() == 10_000
