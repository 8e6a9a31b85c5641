import dataclasses
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets.synthetic_shop import simulator
from pipelines.datasets.synthetic_shop.simulator import (
    BEHAVIORS,
    BUY,
    CART,
    CONFIGS,
    FAVORITE,
    TARGET,
    VIEW,
    Catalogue,
    ShopConfig,
    ShopLog,
    simulate,
    simulate_chunks,
)

TINY = CONFIGS["tiny"]
FIELDS = [field.name for field in dataclasses.fields(ShopLog)]


@pytest.fixture(scope="module")
def small():
    return simulate(CONFIGS["small"])


def same(left, right):
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in FIELDS)


def join(logs):
    return ShopLog(*(np.concatenate([getattr(log, name) for log in logs]) for name in FIELDS))


def events(log):
    return zip(*(getattr(log, name).tolist() for name in FIELDS), strict=True)


def check_invariants(config, log):
    """Checks what the module docstring guarantees for every log, in plain Python."""
    viewed, last = set(), (-1, 0)
    for user, item, behavior_id, time in events(log):
        assert 0 <= item < config.num_items
        assert 1 <= behavior_id <= len(BEHAVIORS)
        assert last < (user, time)
        if behavior_id == VIEW:
            viewed.add((user, item))
        if behavior_id in (FAVORITE, CART):
            assert (user, item) in viewed
        last = (user, time)
    assert np.array_equal(np.unique(log.users), np.arange(config.num_users))
    days = (log.timestamps - config.start_time) / (24 * 60 * 60)
    assert days.min() >= 0
    assert days.max() < config.num_days + 1  # the last visit may continue past midnight


def test_same_seed_same_log():
    assert same(simulate(TINY), simulate(dataclasses.replace(TINY)))


def test_other_seed_other_log():
    assert not same(simulate(TINY), simulate(dataclasses.replace(TINY, seed=1)))


def test_dtypes():
    log = simulate(TINY)
    assert [getattr(log, name).dtype for name in FIELDS] == [np.int64, np.int64, np.int32, np.int64]


@pytest.mark.parametrize("blocks_per_chunk", [1, 2, 3, 100])
def test_chunk_size_changes_nothing(monkeypatch, blocks_per_chunk):
    monkeypatch.setattr(simulator, "_USERS_PER_BLOCK", 64)  # 200 users: three blocks and a part
    chunks = simulate_chunks(TINY, blocks_per_chunk)
    assert isinstance(chunks, types.GeneratorType)
    chunks = list(chunks)
    assert len(chunks) == -(-4 // blocks_per_chunk)
    users = [set(chunk.users.tolist()) for chunk in chunks]
    assert sum(map(len, users)) == TINY.num_users  # no user is in two chunks
    assert same(join(chunks), simulate(TINY))


def test_users_of_a_block_do_not_depend_on_later_blocks(monkeypatch):
    monkeypatch.setattr(simulator, "_USERS_PER_BLOCK", 64)
    fewer = simulate(dataclasses.replace(TINY, num_users=128))
    log = simulate(TINY)
    assert same(fewer, ShopLog(*(getattr(log, name)[log.users < 128] for name in FIELDS)))


def test_blocks_differ(monkeypatch):
    monkeypatch.setattr(simulator, "_USERS_PER_BLOCK", 100)
    first, second = simulate_chunks(TINY)
    assert not np.array_equal(first.items, second.items)


def test_chunks_need_a_block():
    with pytest.raises(ValueError, match="blocks_per_chunk"):
        next(simulate_chunks(TINY, blocks_per_chunk=0))


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_invariants(name):
    check_invariants(CONFIGS[name], simulate(CONFIGS[name]))


@settings(deadline=None, max_examples=30)
@given(
    num_users=st.integers(1, 40),
    num_categories=st.integers(2, 6),
    num_styles=st.integers(1, 4),
    extra_items=st.integers(0, 50),
    median_visits=st.floats(1, 500),
    visits_spread=st.floats(0, 3),
    num_days=st.integers(30, 400),
    zipf_exponent=st.floats(0, 3),
    rates=st.tuples(*[st.floats(0, 1)] * 4),
    seed=st.integers(0, 2**63),
)
def test_invariants_of_any_shop(
    num_users, num_categories, num_styles, extra_items, rates, **arguments
):
    names = ("complement_rate", "one_click_rate", "restock_rate", "taste_drift")
    num_items = 2 * num_categories * num_styles + extra_items
    config = ShopConfig(
        num_users=num_users,
        num_items=num_items,
        num_categories=num_categories,
        num_styles=num_styles,
        **dict(zip(names, rates, strict=True)),
        **arguments,
    )
    check_invariants(config, simulate(config))


def test_sizes(small):
    assert len(simulate(TINY).users) < 10_000
    assert 80_000 < len(small.users) < 130_000
    lengths = np.bincount(small.users)
    assert 40 <= np.median(lengths) <= 52
    assert lengths.mean() > np.median(lengths)  # a heavy tail
    assert lengths.max() > 5 * np.median(lengths)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_behavior_shares(seed):
    log = simulate(dataclasses.replace(CONFIGS["small"], seed=seed))
    view, favorite, cart, buy = np.bincount(log.behavior_ids, minlength=5)[1:] / len(log.users)
    assert 0.65 < view < 0.8
    assert 0.03 < favorite < 0.08
    assert buy < cart < 0.15
    assert 0.08 < buy < 0.12


@pytest.mark.parametrize("name", ["tiny", "small", "medium"])
def test_most_users_can_be_held_out_from_and_some_cannot(name):
    log = simulate(CONFIGS[name])
    buys = np.bincount(log.users[log.behavior_ids == BUY], minlength=CONFIGS[name].num_users)
    assert 0.95 <= np.mean(buys >= 3) < 1


def test_popularity_is_heavy_tailed(small):
    def top_tenth(log, num_items):
        counts = np.sort(np.bincount(log.items, minlength=num_items))
        return counts[-num_items // 10 :].sum() / counts.sum()

    num_items = CONFIGS["small"].num_items
    assert top_tenth(small, num_items) > 0.25
    even = simulate(dataclasses.replace(CONFIGS["small"], zipf_exponent=0.0))
    assert top_tenth(even, num_items) < 0.2


def test_purchases_follow_complements(small):
    """A user's next purchase is a complement far more often than by chance."""
    config = CONFIGS["small"]
    catalogue = Catalogue(config)
    complements = np.empty_like(catalogue.complements)
    complements[catalogue.ids] = catalogue.ids[catalogue.complements]
    bought = small.behavior_ids == BUY
    users, items = small.users[bought], small.items[bought]
    pairs = users[1:] == users[:-1]

    def share(table):
        return np.mean((table[items[:-1]] == items[1:, None]).any(axis=1)[pairs])

    assert share(complements) > 0.15
    assert share(np.random.default_rng(0).permutation(complements)) < 0.02


def test_catalogue():
    config = CONFIGS["small"]
    catalogue = Catalogue(config)
    category, style = np.divmod(catalogue.shelves, config.num_styles)
    assert np.array_equal(np.sort(catalogue.ids), np.arange(config.num_items))
    assert set(catalogue.shelves) == set(range(config.num_shelves))
    # Similar items form a loop on each shelf.
    assert np.array_equal(np.sort(catalogue.similar), np.arange(config.num_items))
    assert np.array_equal(catalogue.shelves[catalogue.similar], catalogue.shelves)
    assert not np.any(catalogue.similar == np.arange(config.num_items))
    # Complements have the same style and another category, the same one for a whole category.
    for place, complements in enumerate(catalogue.complements):
        assert set(style[complements]) == {style[place]}
        assert category[place] not in category[complements]
    goes_with = {(category[p], category[c]) for p, c in enumerate(catalogue.complements[:, 0])}
    assert len(goes_with) == config.num_categories


def test_a_share_of_the_purchases_was_never_touched_before(small):
    """Among last purchases, so neither recency nor complements alone can answer all questions."""
    touched, last_purchase = set(), {}
    for user, item, behavior_id, _ in events(small):
        if behavior_id == BUY:
            last_purchase[user] = (user, item) in touched
        touched.add((user, item))
    assert 0.58 < np.mean(list(last_purchase.values())) < 0.72


def test_the_target_is_the_last_behavior():
    assert BEHAVIORS.index(TARGET) + 1 == BUY


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("num_users", 0, "num_users must be at least 1"),
        ("num_users", 2.5, "num_users must be an integer"),
        ("num_items", 39, "num_items must be at least 2 for each of 5 \\* 4 shelves"),
        ("num_categories", 1, "num_categories must be at least 2"),
        ("num_styles", 0, "num_styles must be at least 1"),
        ("num_days", 29, "num_days must be at least 30"),
        ("median_visits", 0.5, "median_visits must be at least 1"),
        ("median_visits", float("inf"), "median_visits"),
        ("visits_spread", -0.1, "visits_spread must be at least 0"),
        ("zipf_exponent", float("nan"), "zipf_exponent must be at least 0"),
        ("start_time", -1, "start_time must be at least 0"),
        ("seed", -1, "seed must be at least 0"),
        ("complement_rate", 1.1, "complement_rate must lie in"),
        ("one_click_rate", -0.1, "one_click_rate must be at least 0"),
        ("restock_rate", 2, "restock_rate must lie in"),
        ("taste_drift", 1.5, "taste_drift must lie in"),
    ],
)
def test_bad_arguments_are_named(argument, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **{argument: value})
