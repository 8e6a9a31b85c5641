"""The rules beside every model: against slow counts, and on logs that lack something."""

import dataclasses

import numpy as np
import pytest

from hmar_keras.schema import Behaviors
from pipelines.evaluation.baselines import baselines
from pipelines.evaluation.session_cooccurrence import SessionCooccurrence
from pipelines.evaluation.touched_rules import (
    RecencyByBehavior,
    TouchedByConversion,
    touched_sets,
)
from pipelines.protocol.sessions import session_evidence
from pipelines.protocol.splits import EvaluationSet, split
from pipelines.protocol.training_counts import (
    item_popularity,
    target_rates,
    touched_items,
    training_sessions,
)

from . import slow_rules

SEEDS = range(5)
RULES = [
    *("popularity", "repeat your history", "recency by behaviour"),
    *("touched, by conversion", "session co-occurrence"),
]
EIGHT = tuple("abcdefgh")


def with_times(log, seed, scale=5):
    """The log with random times at which several events of a user tie."""
    rng = np.random.default_rng(seed)
    times = rng.integers(0, scale, log.num_events)
    for start, end in zip(log.offsets[:-1], log.offsets[1:], strict=True):
        times[start:end].sort()
    return dataclasses.replace(log, timestamps=times)


def with_eight_behaviors(log, seed, target):
    """The log with random ones of eight behaviours, of which the weakest three share a bit."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 9, log.num_events).astype(np.int32)
    return dataclasses.replace(log, behaviors=Behaviors(EIGHT, target), behavior_ids=ids)


def question_about(log, user):
    """What comes after the user's whole history; the answer does not matter."""
    question = user, log.offsets[user], log.offsets[user + 1], log.num_items
    return EvaluationSet(*(np.array([each]) for each in question))


@pytest.mark.parametrize("seed", SEEDS)
def test_target_rates_equal_a_count_in_order(datasets, seed):
    splits = split(datasets["random"](seed, num_items=12))
    rates = target_rates(splits)
    assert rates.shape == (8,)
    np.testing.assert_allclose(rates, slow_rules.target_rates(splits))


@pytest.mark.parametrize("target", ["h", "e", "b"])
def test_target_rates_of_more_than_six_behaviours(datasets, target):
    log = datasets["random"](0, num_items=12, longest=60)
    splits = split(with_eight_behaviors(log, 0, target))
    rates = target_rates(splits)
    assert rates.shape == (64,)
    np.testing.assert_allclose(rates, slow_rules.target_rates(splits))


def test_target_rates_counted_by_hand(datasets):
    log = datasets["make"]([[(1, 1), (2, 2), (1, 2), (1, 3), (2, 3)]], num_items=4)
    whole = dataclasses.replace(
        split(datasets["random"](0)), dataset=log, train_ends=log.offsets[1:]
    )
    # The first purchase finds one item viewed and carted, one carted and two untouched, the second
    # one with all three behaviours, one carted and two untouched.
    rates = target_rates(whole)
    carted = 2 / 3  # hits per chance of both sets whose strongest behaviour is the cart
    assert rates[2] == pytest.approx((1 + 100 * carted) / (2 + 100))
    assert rates[3] == pytest.approx((1 + 100 * carted) / (1 + 100))
    assert (rates[[0, 1, 4, 5, 6, 7]] == 0).all()


def test_sets_and_ages_of_what_was_touched(datasets):
    history = [(1, 1), (1, 3), (2, 8), (2, 2), (3, 5), (1, 2), (3, 5), (4, 8), (4, 4)]
    log = datasets["make"]([[(5, 1)], history])
    log = dataclasses.replace(log, behaviors=Behaviors(EIGHT, "h"))
    rows, items, sets, ages = touched_sets(log, question_about(log, 1))
    assert rows.tolist() == [0, 0, 0, 0]
    assert items.tolist() == [1, 2, 3, 4]
    assert sets.tolist() == [1, 32 + 1, 4, 32 + 2]
    assert ages.tolist() == [7, 6, 2, 1]


@pytest.mark.parametrize("behaviors", [3, 8])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rule", [RecencyByBehavior, TouchedByConversion])
def test_touched_items_are_in_the_order_of_a_slow_sort(datasets, rule, seed, behaviors):
    log = datasets["random"](seed, num_items=20)
    if behaviors == 8:
        log = with_eight_behaviors(log, seed, EIGHT[4 + seed % 4])
    splits = split(log)
    assert len(splits.test) > 5
    popularity = item_popularity(splits).astype(np.float32)
    scores = rule(splits)(splits.test)
    for row in range(len(splits.test)):
        by_conversion = rule is TouchedByConversion
        back, gone = slow_rules.touched_order(splits, splits.test, row, by_conversion)
        others = np.setdiff1d(np.arange(1, splits.dataset.num_items + 1), [*back, *gone])
        assert (scores[row, others] == popularity[others]).all()
        places = [*back, *others[np.argsort(-popularity[others], kind="stable")], *gone]
        assert (np.diff(scores[row, places]) <= 0).all()
        assert (np.diff(scores[row, back]) < 0).all()
        assert (np.diff(scores[row, gone]) < 0).all()
        assert all(scores[row, back] >= 1)
        assert all(scores[row, gone] < 0)


def test_carts_come_before_views_and_bought_items_by_what_the_log_shows(datasets):
    """In the first log nobody buys an item twice, in the second everybody does."""
    once = [[(1, 1), (2, 1), (1, 2), (1, 3), (2, 3), (5, 1), (6, 1), (5, 3), (6, 3)]] * 5
    again = [[(1, 3), (2, 1), (1, 3), (3, 2), (1, 3), (4, 1), (1, 3), (1, 3)]] * 5
    history = [(1, 1), (2, 2), (3, 3), (4, 1)]
    for users, expected in ((once, [2, 4, 1, 3]), (again, [3, 2, 4, 1])):
        log = datasets["make"]([*users, history], num_items=9)
        scores = RecencyByBehavior(split(log))(question_about(log, 5))[0]
        order = [item for item in np.argsort(-scores[1:], kind="stable") + 1 if item < 5]
        assert order == expected


def test_what_was_viewed_and_carted_is_a_group_of_its_own(datasets):
    """All view item 1, put 2 in the cart, do both to 3 and buy it, and then most buy 1, or 2."""
    touched = [(1, 1), (2, 2), (3, 1), (3, 2)]
    for often, seldom in ((1, 2), (2, 1)):
        bought = [often] * 200 + [seldom] * 100
        users = [[*touched, (3, 3), (item, 3), (5, 3), (6, 3)] for item in bought]
        log = datasets["make"]([*users, touched], num_items=99)
        scores = RecencyByBehavior(split(log))(question_about(log, len(users)))[0]
        expected = [3, often, seldom]
        assert (np.argsort(-scores)[:3]).tolist() == expected


def test_of_two_carts_the_one_that_is_bought_more_often_comes_first(datasets):
    buyers = [[(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 3), (3, 3)]] * 5
    log = datasets["make"]([*buyers, [(1, 2), (2, 2), (4, 3), (5, 3), (6, 3)]], num_items=9)
    splits = split(log)
    asked = splits.validation.take(splits.validation.users == 5)
    assert np.argmax(TouchedByConversion(splits)(asked)[0]) == 1
    assert np.argmax(RecencyByBehavior(splits)(asked)[0]) == 2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [0, 1, 2])
def test_cooccurrence_equals_loops_over_sessions(datasets, seed, width, monkeypatch):
    monkeypatch.setattr("pipelines.protocol.sessions._PAIRS_AT_ONCE", 300)
    splits = split(with_times(datasets["random"](seed), seed))
    terms = slow_rules.cooccurrence(splits, width)
    scores = SessionCooccurrence(splits, width)(splits.test)
    for row in range(len(splits.test)):
        history = {item for item, _ in slow_rules.history_of(splits, splits.test, row)}
        expected = sum(terms[item] for item in history)
        _, gone = slow_rules.touched_order(splits, splits.test, row, by_conversion=False)
        expected[gone] = -1
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5, atol=1e-8)


def test_items_without_cooccurrence_go_by_popularity(datasets):
    buyer = [(1, 1), (2, 3), (1, 3), (2, 3), (1, 3)]
    users = [[(1, 1), (6, 1)], [(4, 1), (4, 3)], [(5, 1)], buyer]
    splits = split(datasets["make"](users, num_items=6))
    scores = SessionCooccurrence(splits)(splits.validation)[0]
    assert scores[6] > 1e-3 > scores[4] > scores[5] > scores[3] == 0


def test_a_large_log_keeps_the_greatest_terms(log, monkeypatch):
    splits = split(log)
    whole = SessionCooccurrence(splits, 0)._terms.toarray()
    monkeypatch.setattr("pipelines.evaluation.session_cooccurrence._PAIRS_KEPT", 4 * len(whole))
    kept = SessionCooccurrence(splits, 0)._terms
    assert np.diff(kept.indptr).max() == 4
    kept = kept.toarray()
    assert ((kept == 0) | (kept == whole)).all()
    for row, all_terms in zip(kept, whole, strict=True):
        assert sorted(row)[-4:] == sorted(all_terms)[-4:]


def test_sessions_are_chosen_where_they_answer_better(datasets):
    """Pairs of items are always touched at the same time, each user's pairs are random."""
    rng = np.random.default_rng(0)
    users, times = [], []
    for _ in range(300):
        pairs = rng.permutation(40)[:12]
        users.append([(int(2 * pair + each + 1), 3) for pair in pairs for each in (0, 1)])
        times += np.repeat(np.arange(12), 2).tolist()
    log = datasets["make"](users, num_items=80)

    def chosen(times):
        splits = split(dataclasses.replace(log, timestamps=np.array(times)))
        return session_evidence(splits, touched_items(splits)).width

    assert chosen(times) == 1
    assert chosen(np.array(times) * 3600 + 1_700_000_000) == 1
    seconds = np.arange(len(times)) % 2 + np.array(times) * 3600 + 1_699_920_000
    assert chosen(seconds) == 60
    assert chosen(seconds * 1000) == 60_000
    assert chosen(np.zeros(len(times), int)) == chosen(np.arange(len(times))) == 0


def test_sessions_belong_to_one_user_and_one_bucket(datasets):
    users = [[(1, 1), (2, 1), (1, 2), (3, 1), (4, 1)], [(1, 1), (4, 1)]]
    log = datasets["make"](users, num_items=5)
    log = dataclasses.replace(log, timestamps=np.array([0, 9, 9, 10, 30, 9, 9]))
    whole = dataclasses.replace(
        split(datasets["random"](0)), dataset=log, train_ends=log.offsets[1:]
    )
    sessions, of_users = training_sessions(whole, 10)
    assert sessions.toarray().tolist() == [[0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0]]
    assert of_users.tolist() == [0, 1]


def all_scores(splits, questions):
    scores = {name: rule(questions) for name, rule in baselines(splits).items()}
    assert list(scores) == RULES
    for each in scores.values():
        assert each.shape == (len(questions), splits.dataset.num_items + 1)
        assert each.dtype == np.float32
        assert np.isfinite(each).all()
    return scores


def test_what_is_held_out_changes_nothing(log):
    """Other answers and other behaviours after the end of training; the same questions."""
    splits = split(log)
    held_out = ~splits.training_events()
    assert held_out.any()
    rng = np.random.default_rng(0)
    items, behaviors = log.item_ids.copy(), log.behavior_ids.copy()
    items[held_out] = rng.integers(1, log.num_items + 1, held_out.sum())
    behaviors[held_out] = rng.integers(1, 4, held_out.sum())
    changed = dataclasses.replace(log, item_ids=items, behavior_ids=behaviors)
    other = dataclasses.replace(splits, dataset=changed)
    before = all_scores(splits, splits.validation)
    after = all_scores(other, splits.validation)
    for name in before:
        assert np.array_equal(before[name], after[name]), name


def test_an_empty_history_gets_popular_items(log):
    splits = split(log)
    first = splits.test.take(slice(0, 3))
    empty = dataclasses.replace(first, ends=first.starts)
    popular = item_popularity(splits)
    for scores in all_scores(splits, empty).values():
        for row in scores:
            assert (np.diff(row[1:][np.argsort(popular[1:], kind="stable")]) >= 0).all()


@pytest.mark.parametrize("times", ["none", "rows"])
def test_a_log_without_times(log, times):
    found = np.zeros(log.num_events, int) if times == "none" else np.arange(log.num_events)
    splits = split(dataclasses.replace(log, timestamps=found))
    all_scores(splits, splits.test)


def test_a_log_of_one_behaviour(log):
    only = dataclasses.replace(
        log, behaviors=Behaviors(("play",), "play"), behavior_ids=np.ones_like(log.behavior_ids)
    )
    splits = split(only)
    scores = all_scores(splits, splits.test)
    assert target_rates(splits)[1] > target_rates(splits)[0]
    found = scores["recency by behaviour"]
    assert np.array_equal(found >= 1, scores["repeat your history"] >= 1)
