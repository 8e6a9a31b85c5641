"""The traits of a log against a slow plain-Python reference and closed forms."""

import dataclasses
import statistics
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmar_keras.schema import Behaviors
from pipelines.protocol import pair_counts
from pipelines.protocol.log_traits import (
    ENOUGH,
    RARE,
    Leading,
    Returning,
    log_traits,
    never_returning,
)
from pipelines.protocol.pair_counts import count_pairs
from pipelines.protocol.splits import Splits, split

VIEW, CART, BUY = 1, 2, 3
NAMES = ("view", "cart", "buy")
SECONDS = 1_700_000_000 // 86_400 * 86_400  # midnight
EVENT = st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(0, 4))
LOGS = st.lists(st.lists(EVENT, max_size=14), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def splits_of(datasets):
    """Returns a function that makes splits with `trained[u]` training events of each user."""

    def make(users, trained=None, times=None, num_items=9, **changes):
        dataset = datasets["make"](users, num_items=num_items)
        if times is not None:
            changes["timestamps"] = np.array([each for user in times for each in user], np.int64)
        dataset = dataclasses.replace(dataset, **changes)
        trained = [len(user) for user in users] if trained is None else trained
        return Splits(dataset, dataset.offsets[:-1] + np.array(trained), None, None)

    return make


def share(part, whole):
    return part / whole if whole else None


def slow_traits(users, names, target, num_items):
    """Measures everything but times, scanning each user's (item, behaviour id) from the start."""
    targets, new = 0, 0
    returned, asked, chances, preceded, pairs, followed = ([0] * len(names) for _ in range(6))
    for events in users:
        for place, (item, behavior) in enumerate(events):
            if behavior != target:
                continue
            touched = {each for each, _ in events[:place]}
            strongest = {each: max(b for i, b in events[:place] if i == each) for each in touched}
            targets += 1
            new += item not in touched
            for row in range(len(names)):
                at = [each for each in touched if strongest[each] == row + 1]
                returned[row] += item in at
                asked[row] += bool(at)
                chances[row] += len(at)
                preceded[row] += (item, row + 1) in events[:place]
        for row in range(len(names)):
            for item in {each for each, behavior in events if behavior == row + 1}:
                pairs[row] += 1
                followed[row] += (item, target) in events[events.index((item, row + 1)) + 1 :]

    return {
        "new_items": share(new, targets),
        "returning": {
            name: Returning(
                share(returned[row], targets),
                asked[row],
                share(returned[row] * num_items, chances[row]),
            )
            for row, name in enumerate(names)
        },
        "leading": {
            name: Leading(share(followed[row], pairs[row]), share(preceded[row], targets))
            for row, name in enumerate(names)
            if row + 1 != target
        },
    }


def check_traits(traits, users, names=NAMES, target=BUY, num_items=9):
    slow = slow_traits(users, names, target, num_items)
    assert traits.target == names[target - 1]
    assert traits.new_items == pytest.approx(slow["new_items"])
    for name in names:
        found, expected = traits.returning[name], slow["returning"][name]
        assert (found.share, found.asked) == (pytest.approx(expected.share), expected.asked)
        assert found.times_chance == pytest.approx(expected.times_chance)
    assert traits.leading == slow["leading"]
    touching = [
        len({row for row, user in enumerate(users) for each, _ in user if each == item})
        for item in range(1, num_items + 1)
    ]
    assert traits.users_per_item == statistics.median(touching)
    assert traits.items_under_5_users == sum(count < 5 for count in touching) / num_items
    assert traits.items_under_20_users == 1
    lengths = [len(user) for user in users if user]
    assert traits.median_length == (statistics.median(lengths) if lengths else 0)
    assert traits.longest == max(lengths, default=0)


@settings(deadline=None, max_examples=120, derandomize=True)
@given(LOGS, st.sampled_from((1, 5, 1 << 20)), st.sampled_from((VIEW, CART, BUY)), st.data())
def test_every_trait_against_the_slow_way(splits_of, log, block, target, data):
    users = [sorted(user, key=lambda event: event[2]) for user in log]
    trained = [data.draw(st.integers(0, len(user))) for user in users]
    pairs = [[event[:2] for event in user] for user in users]
    times = [[SECONDS + event[2] for event in user] for user in users]
    behaviors = Behaviors(NAMES, target=NAMES[target - 1])
    with mock.patch.object(pair_counts, "_BLOCK", block):
        traits = log_traits(splits_of(pairs, trained, times, behaviors=behaviors))
    kept = [user[:end] for user, end in zip(pairs, trained, strict=True)]
    check_traits(traits, kept, target=target)
    kept_times = [user[:end] for user, end in zip(times, trained, strict=True)]
    tied = sum(user.count(time) > 1 for user in kept_times for time in user)
    assert traits.ties == share(tied, sum(trained))
    assert traits.never_returns == ()  # too few events to tell


@pytest.mark.parametrize("seed", range(3))
def test_only_training_events_count(datasets, seed):
    splits = split(datasets["random"](seed))
    dataset = splits.dataset
    events = list(zip(dataset.item_ids.tolist(), dataset.behavior_ids.tolist(), strict=True))
    ends = zip(dataset.offsets[:-1].tolist(), splits.train_ends.tolist(), strict=True)
    users = [events[start:end] for start, end in ends]
    assert sum(map(len, users)) < len(events)
    traits = dataclasses.replace(log_traits(splits), items_under_20_users=1)
    check_traits(traits, users, num_items=30)


def test_a_shop_by_hand(splits_of):
    users = [
        [(1, VIEW), (2, VIEW), (1, CART), (1, BUY), (2, BUY), (1, BUY)],
        [(3, BUY), (3, VIEW), (4, VIEW), (3, BUY)],  # a view after the purchase leaves it bought
    ]
    traits = log_traits(splits_of(users, num_items=10))
    assert traits.new_items == 1 / 5
    # At their purchases, the first user has 2, 2 and nothing at view, the second nothing and 4.
    assert traits.returning == {
        "view": Returning(1 / 5, 3, pytest.approx((1 / 3) * 10)),
        "cart": Returning(1 / 5, 1, 10),
        "buy": Returning(2 / 5, 3, pytest.approx((2 / 4) * 10)),
    }
    assert traits.leading == {
        "view": Leading(3 / 4, 4 / 5),
        "cart": Leading(1, 2 / 5),
    }
    assert (traits.users_per_item, traits.longest, traits.median_length) == (0, 6, 5)
    assert traits.long_length == pytest.approx(5.8)


def test_one_behaviour(splits_of):
    users = [[(1, 1), (2, 1), (1, 1)], [(3, 1)]]
    traits = log_traits(splits_of(users, behaviors=Behaviors(("buy",), target="buy")))
    assert traits.returning == {"buy": Returning(1 / 4, 2, 1 / 3 * 9)}
    assert traits.new_items == 3 / 4
    assert traits.leading == {}


def test_items_touched_once_are_new(splits_of):
    users = [[(item, BUY if item % 2 else VIEW) for item in range(1, 10)]] * 3
    traits = log_traits(splits_of(users))
    assert traits.new_items == 1
    assert traits.returning["view"] == Returning(0, 12, 0)
    assert traits.leading["view"] == Leading(0, 0)
    assert (traits.users_per_item, traits.items_under_5_users) == (3, 1)


def test_no_targets_and_no_events(splits_of):
    traits = log_traits(splits_of([[(1, VIEW)], []]))
    assert traits.new_items is None
    assert traits.returning["view"] == Returning(None, 0, None)
    assert traits.leading["view"] == Leading(0, None)
    assert traits.leading["cart"] == Leading(None, None)
    traits = log_traits(splits_of([[(1, VIEW)], []], trained=[0, 0]))
    assert (traits.ties, traits.times, traits.longest) == (None, "none", 0)
    assert (traits.median_length, traits.long_length) == (0, 0)


def buyers(chances, returns):
    """Returns users whose last purchase could be of the first item again; `returns` of them are."""
    return [[(1, BUY), (1 if row < returns else 2, BUY)] for row in range(chances)]


@pytest.mark.parametrize(
    ("chances", "returns", "never"),
    [
        (ENOUGH - 1, 0, False),
        (ENOUGH, 0, True),
        (ENOUGH, 1, False),
        (RARE, 1, False),
        (RARE + 1, 1, True),
        (2 * RARE + 1, 2, True),
    ],
)
def test_never_needs_enough_events_and_hardly_a_return(splits_of, chances, returns, never):
    traits = log_traits(splits_of(buyers(chances, returns)))
    assert traits.returning["buy"].asked == chances
    assert traits.never_returns == (("buy",) if never else ())
    assert never_returning(splits_of(buyers(chances, returns))) == ((BUY,) if never else ())


@pytest.mark.parametrize(("trained", "never"), [(2, (BUY,)), (3, ())])
def test_what_never_returns_is_measured_in_training(splits_of, trained, never):
    users = [[(1, BUY), (2, BUY), (1, BUY)]] * ENOUGH
    assert never_returning(splits_of(users, [trained] * ENOUGH)) == never


def test_what_comes_back_through_a_stronger_behaviour_returns(splits_of):
    """Nobody buys what is only viewed, but some of it gets into the cart and is bought."""
    once = [(1, VIEW), (2, VIEW), (2, CART), (2, BUY), (3, BUY)]
    splits = splits_of([once] * ENOUGH)
    traits = log_traits(splits)
    assert traits.returning["view"].share == 0 and traits.returning["view"].asked >= ENOUGH
    assert traits.never_returns == ("buy",)  # at the second purchase, 2 is bought
    assert never_returning(splits) == (BUY,)
    # Without a return through the cart, all of them are gone.
    views = [[(1, VIEW), (4, CART), (2, BUY), (3, BUY)]] * ENOUGH
    assert never_returning(splits_of(views)) == (VIEW, CART, BUY)
    again = [[(1, VIEW), (2, CART), (2, BUY), (3, CART), (2, BUY)]] * ENOUGH
    assert never_returning(splits_of(again)) == ()


DAY, HOUR, MINUTE = 86_400, 3_600, 60


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        ((0, 0, 0), "none"),
        ((SECONDS,) * 3, "none"),
        ((0, 1, 2), "unknown"),
        ((511, 601, 1112), "unknown"),
        ((SECONDS, SECONDS + DAY, SECONDS + 9 * DAY), "day"),
        ((SECONDS + 8 * HOUR, SECONDS + 8 * HOUR + DAY, SECONDS + 8 * HOUR + 2 * DAY), "day"),
        ((SECONDS, SECONDS + HOUR, SECONDS + DAY), "hour"),
        ((SECONDS, SECONDS + DAY, SECONDS + DAY + MINUTE), "minute"),
        ((SECONDS, SECONDS + DAY, SECONDS + DAY + 1), "second"),
        (tuple(1_000 * time for time in (SECONDS, SECONDS + DAY, SECONDS + HOUR)), "hour"),
        (tuple(1_000 * SECONDS + each for each in (0, 1, 1_000)), "second"),
    ],
)
def test_how_fine_times_are(splits_of, times, kind):
    traits = log_traits(splits_of([[(1, VIEW), (2, BUY), (3, BUY)]], times=[sorted(times)]))
    assert traits.times == kind


def test_users_with_one_time_do_not_tie(splits_of):
    users = [[(1, VIEW)], [], [(1, VIEW), (2, VIEW), (2, BUY)]]
    times = [[SECONDS], [], [SECONDS, SECONDS, SECONDS + 9]]
    assert log_traits(splits_of(users, times=times)).ties == 2 / 4
    assert log_traits(splits_of(users, [1, 0, 1], times)).ties == 0


def test_all_events_count_without_ends(splits_of):
    splits = splits_of(buyers(5, 2), trained=[0] * 5)
    assert (count_pairs(splits.dataset).targets, count_pairs(splits.dataset).returned[2]) == (10, 2)
    assert count_pairs(splits.dataset, splits.train_ends).targets == 0
