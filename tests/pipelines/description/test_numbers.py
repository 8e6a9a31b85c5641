"""Every statistic against a slow plain-Python reference and closed forms."""

import collections
import dataclasses
import io
import itertools
import json
import math
import os
import pathlib
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from hmar_keras.schema import Behaviors
from pipelines.datasets import load_dataset
from pipelines.description.numbers import QUANTILES, compact, counted, describe
from pipelines.description.table import description_table
from pipelines.description.traits_text import trait_lines
from pipelines.protocol import pair_counts
from pipelines.protocol.log_traits import log_traits
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError

VIEW, CART, BUY = 1, 2, 3
NAMES = ("view", "cart", "buy")
SECONDS = 1_700_000_000  # 2023-11-14
EVENT = st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(0, 4))
LOGS = st.lists(st.lists(EVENT, max_size=14), min_size=1, max_size=8).filter(any)


@pytest.fixture(scope="module")
def timed(datasets):
    """Returns a function that makes a dataset from each user's (item, behaviour, time), sorted."""

    def make(users, **changes):
        users = [sorted(events, key=lambda event: event[2]) for events in users]
        pairs = [[(item, behavior) for item, behavior, _ in events] for events in users]
        times = np.array([time for events in users for _, _, time in events], np.int64)
        dataset = datasets["make"](pairs, num_items=changes.pop("num_items", 9))
        return dataclasses.replace(dataset, timestamps=times, **changes)

    return make


@pytest.fixture
def real_data():
    """Returns a function that finds a file of the real data; skips the test if it is absent."""
    repository = pathlib.Path(__file__).parents[3]
    root = pathlib.Path(os.environ.get("HMAR_TEST_DATA", repository.parent / "shared" / "data"))

    def find(relative):
        if not (root / relative).exists():
            pytest.skip(f"needs the real {relative} (HMAR_TEST_DATA)")
        return root / relative

    return find


def user_lists(dataset):
    """Returns each user's (item, behaviour name, time), in order."""
    events = list(
        zip(
            dataset.item_ids.tolist(),
            [dataset.behaviors.names[row - 1] for row in dataset.behavior_ids],
            dataset.timestamps.tolist(),
            strict=True,
        )
    )
    ends = dataset.offsets.tolist()
    return [events[start:end] for start, end in itertools.pairwise(ends)]


def quantile(numbers, share):
    numbers = sorted(numbers)
    place = share * (len(numbers) - 1)
    low = math.floor(place)
    high = min(low + 1, len(numbers) - 1)
    return numbers[low] + (place - low) * (numbers[high] - numbers[low])


def check_distribution(distribution, numbers):
    assert list(distribution.quantiles) == list(QUANTILES)
    for name, share in QUANTILES.items():
        assert distribution.quantiles[name] == pytest.approx(quantile(numbers, share))
    assert distribution.mean == pytest.approx(sum(numbers) / len(numbers))
    edges = distribution.edges
    assert edges == sorted(set(edges))
    bins = list(itertools.pairwise(edges))
    assert distribution.counts == [
        sum(low <= number < high for number in numbers) for low, high in bins
    ]
    assert sum(distribution.counts) == len(numbers)
    assert distribution.counts[0]
    assert distribution.counts[-1]
    assert all(low > 0 or high == 1 for low, high in bins)


def slow_repeats(users, target):
    """Returns (target events, touched before, by behaviour), scanning each user from the start."""
    targets, touched, preceded = 0, 0, collections.Counter()
    for events in users:
        for place, (item, behavior, _) in enumerate(events):
            if behavior != target:
                continue
            before = {name for other, name, _ in events[:place] if other == item}
            targets += 1
            touched += bool(before)
            preceded.update(before)
    return targets, touched, preceded


def slow_ties(users):
    """Counts, by n, the events whose time is shared by n events of their user."""
    sizes = collections.Counter()
    for events in users:
        times = [time for _, _, time in events]
        sizes.update(times.count(time) for time in times)
    return sizes


@settings(deadline=None, max_examples=120, derandomize=True)
@given(LOGS, st.sampled_from((1, 5, 1 << 20)), st.sampled_from((0, SECONDS, 1_000 * SECONDS)))
def test_every_statistic_against_the_slow_way(timed, log, block, begin):
    log = [[(item, behavior, begin + time) for item, behavior, time in user] for user in log]
    dataset = timed(log)
    with mock.patch.object(pair_counts, "_BLOCK", block):
        description = describe(dataset)
    users = user_lists(dataset)
    events = [event for user in users for event in user]

    assert (description.users, description.items) == (len(users), 9)
    assert description.events == len(events)
    behaviors = collections.Counter(name for _, name, _ in events)
    assert description.events_by_behavior == {name: behaviors[name] for name in NAMES}
    check_distribution(description.events_per_user, [len(user) for user in users])
    bought = [sum(name == "buy" for _, name, _ in user) for user in users]
    check_distribution(description.targets_per_user, bought)
    items = collections.Counter(item for item, _, _ in events)
    per_item = sorted((items[item] for item in range(1, 10)), reverse=True)
    assert description.items_with_events == len(items)
    check_distribution(description.events_per_item, per_item)
    assert description.popularity == [[rank, per_item[rank - 1]] for rank in range(1, 10)]
    assert description.top_items == {
        "1%": pytest.approx(per_item[0] / len(events)),
        "10%": pytest.approx(per_item[0] / len(events)),
    }

    targets, touched, preceded = slow_repeats(users, "buy")
    if targets:
        assert description.repeats.rate == touched / targets
        assert description.repeats.preceded_by == {name: preceded[name] / targets for name in NAMES}
    else:
        assert description.repeats.rate is None
        assert description.repeats.preceded_by == dict.fromkeys(NAMES)

    sizes = slow_ties(users)
    assert description.ties.rate == pytest.approx(1 - sizes[1] / len(events))
    assert description.ties.group_sizes == {
        "alone": sizes[1],
        "2": sizes[2],
        "3-4": sizes[3] + sizes[4],
        "5-9": sum(sizes[size] for size in range(5, 10)),
        "10+": sum(sizes[size] for size in range(10, 15)),
    }

    timeline = description.timeline
    assert (timeline.first, timeline.last) == (min(e[2] for e in events), max(e[2] for e in events))
    bins = list(zip(timeline.starts, [*timeline.starts[1:], math.inf], strict=True))
    assert timeline.starts[0] <= timeline.first
    for name in NAMES:
        times = [time for _, behavior, time in events if behavior == name]
        inside = [sum(low <= time < high for time in times) for low, high in bins]
        assert timeline.events[name] == inside
    evaluated = sum(count >= 3 for count in bought)
    assert description.evaluation.test == evaluated
    assert bool(description.evaluation.problem) == (not description.evaluation.validation)
    assert json.loads(json.dumps(description.to_dict())) == description.to_dict()


def test_repeats_by_hand(timed):
    users = [
        [(1, VIEW, 0), (1, BUY, 1), (1, BUY, 2), (2, BUY, 3)],  # the second and third touch 1
        [(1, BUY, 0), (1, VIEW, 1), (2, VIEW, 2)],  # later events do not count
        [(2, CART, 0), (2, BUY, 0)],  # a tie: the order of the log decides
        [(3, BUY, 5)],  # nor do other users' events
    ]
    repeats = describe(timed(users)).repeats
    assert repeats.rate == 3 / 6
    assert repeats.preceded_by == {"view": 2 / 6, "cart": 1 / 6, "buy": 1 / 6}


def test_neighbouring_users_with_one_time_do_not_tie(timed):
    ties = describe(timed([[(1, VIEW, 7)], [], [(1, VIEW, 7)]])).ties
    assert ties.rate == 0
    assert ties.group_sizes["alone"] == 2


def test_top_items_are_whole_items_of_the_catalogue(datasets):
    events = [(item, VIEW) for item in range(1, 31) for _ in range(2 if item <= 3 else 1)]
    description = describe(datasets["make"]([events], num_items=30))
    assert description.top_items == {"1%": 2 / 33, "10%": 6 / 33}
    description = describe(datasets["make"]([events], num_items=31))
    assert description.top_items["10%"] == 7 / 33  # four items


def test_popularity_of_a_large_catalogue_is_thinned(datasets):
    events = [(item, VIEW) for item in range(1, 5001) for _ in range(1 + (item <= 100))]
    description = describe(datasets["make"]([events]))
    ranks, counts = zip(*description.popularity, strict=True)
    assert (ranks[0], ranks[-1]) == (1, 5000)
    assert len(ranks) <= 80
    assert counts == tuple(2 if rank <= 100 else 1 for rank in ranks)


@pytest.mark.parametrize(
    ("times", "unit", "bin_", "count"),
    [
        ((SECONDS,), "s", "second", 1),
        ((SECONDS, SECONDS + 119), "s", "second", 120),
        ((SECONDS, SECONDS + 120), "s", "minute", 3),
        ((SECONDS, SECONDS + 86_400), "s", "hour", 25),
        ((SECONDS, SECONDS + 86_400 * 100), "s", "day", 101),
        ((SECONDS, SECONDS + 86_400 * 360), "s", "week", 52),
        ((1_000 * SECONDS, 1_000 * (SECONDS + 86_400 * 360)), "ms", "week", 52),
        ((SECONDS, SECONDS + 86_400 * 1461), "s", "month", 49),
        ((631_152_000, 4_102_444_799), "s", "year", 110),
        ((631_151_999, 4_102_444_799), None, "raw", 36),
        ((631_152_000, 4_102_444_800), None, "raw", 36),
        ((511, 1112), None, "distinct time", 2),
        (tuple(range(500)), None, "raw", 50),
        ((-(2**63), 2**63 - 1), None, "raw", 38),
        ((0, SECONDS), None, "raw", 35),
    ],
)
def test_bins_of_time(timed, times, unit, bin_, count):
    timeline = describe(timed([[(1, VIEW, time) for time in times]])).timeline
    assert (timeline.unit, timeline.bin, len(timeline.starts)) == (unit, bin_, count)
    assert (timeline.first, timeline.last) == (times[0], times[-1])
    assert (timeline.first_date is None) == (unit is None)
    assert sum(timeline.events["view"]) == len(times)


def test_dates_are_utc_and_weeks_begin_on_monday(timed):
    timeline = describe(timed([[(1, VIEW, SECONDS), (1, VIEW, SECONDS + 86_400 * 360)]])).timeline
    assert timeline.first_date == "2023-11-14 22:13:20"
    assert timeline.last_date == "2024-11-08 22:13:20"
    starts = np.array(timeline.starts).astype("datetime64[s]")
    assert str(starts[0]) == "2023-11-13T00:00:00"  # a Monday
    assert np.all(np.diff(timeline.starts) == 7 * 86_400)


def test_questions_are_those_of_the_split(log):
    evaluation, splits = describe(log).evaluation, split(log)
    assert (evaluation.validation, evaluation.test) == (len(splits.validation), len(splits.test))
    assert (evaluation.official, evaluation.problem) == (0, None)


def test_traits_are_those_of_the_training_events(log):
    description = describe(log)
    assert description.traits == log_traits(split(log))
    table = " ".join(shown(description).split())
    for name, text in trait_lines(description.traits).items():
        assert f"{name} {text}" in table


def test_official_items_are_counted(datasets):
    users = [[(1, BUY), (2, BUY)], [(1, BUY), (2, BUY)], [(1, VIEW)]]
    evaluation = describe(datasets["make"](users, held_out=[7, 8, 0], num_items=9)).evaluation
    assert (evaluation.official, evaluation.test) == (2, 2)


def test_what_cannot_be_split_is_described(timed):
    description = describe(timed([[(1, VIEW, 3)]]))
    assert description.evaluation.test == 0
    assert "no user has 3 events of the target behaviour 'buy'" in description.evaluation.problem
    assert "no user has 3 events" in " ".join(shown(description).split())
    assert description.traits is None
    assert "training events" not in shown(description)


def test_a_log_without_events_is_refused(timed):
    with pytest.raises(InputError, match="test_log has no events"):
        describe(timed([[], []]))


@pytest.mark.slow
def test_movielens_1m(real_data, tmp_path):
    description = describe(load_dataset("movielens/1m", real_data("ml-1m/ml-1m.zip"), tmp_path))
    assert f"{description.ties.rate:.0%}" == "77%"  # as published with the data
    assert description.repeats.rate == 0  # users rate a film only once
    assert description.events_per_user.quantiles["50%"] == 96
    assert description.timeline.first_date == "2000-04-25 23:05:32"
    assert description.evaluation.test == 6_035
    traits = description.traits
    assert traits.never_returns == ("dislike", "neutral", "like")
    assert (traits.new_items, traits.times, traits.users_per_item) == (1, "second", 117)


@pytest.mark.slow
def test_ijcai15(real_data, tmp_path):
    description = describe(load_dataset("ijcai15", real_data("ijcai15"), tmp_path))
    assert f"{description.ties.rate:.0%}" == "82%"  # as published with the data
    assert description.repeats.preceded_by["buy"] == 0  # repeated purchases are merged
    assert 0.76 < description.repeats.preceded_by["click"] < description.repeats.rate < 0.79
    assert description.timeline.unit is None
    assert (description.timeline.first, description.timeline.last) == (511, 1112)
    assert description.evaluation.official == 6_102
    traits = description.traits
    assert (traits.never_returns, traits.times) == (("buy",), "unknown")
    assert traits.returning["click"].share > 0.7
    assert traits.returning["click"].times_chance > 1_000


@pytest.mark.slow
def test_taobao_sample(real_data, tmp_path):
    data = load_dataset("taobao_sample", real_data("taobao_mbcgcn"), tmp_path)
    traits = describe(data).traits
    assert (traits.never_returns, traits.times, traits.ties) == (("buy",), "none", 1)
    assert 0.79 < traits.leading["view"].preceding < 0.8  # as its README says of the test answers


def shown(description, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(description_table(description))
    return console.file.getvalue()


def test_the_table_fits_80_columns(timed):
    rng = np.random.default_rng(0)
    many = [[(item, VIEW, SECONDS + item) for item in rng.integers(1, 90_000, 60_000).tolist()]]
    table = shown(describe(timed(many, num_items=100_000)))
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    assert "1 user, 100,000 items, 60,000 events" in table
    assert "2023-11-14 22:13" in table


def test_names_are_not_markup(timed):
    behaviors = Behaviors(("[red]view[/]", "[/bold]", ":cart:"), target=":cart:")
    table = shown(describe(timed([[(1, BUY, 0)]], behaviors=behaviors, name="[a]/:smile:")))
    for name in (*behaviors.names, "[a]/:smile:"):
        assert name in table


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *[(0, "0"), (1.5, "1.5"), (96.0, "96"), (2314, "2,314"), (10_500, "10.5k")],
        *[(999_499, "999k"), (999_999, "1M"), (1.23e6, "1.23M"), (2.5e9, "2,500M")],
    ],
)
def test_numbers_are_short(number, text):
    assert compact(number) == text


def test_one_is_singular():
    assert counted(1, "user") == "1 user"
    assert counted(2000, "user") == "2,000 users"
