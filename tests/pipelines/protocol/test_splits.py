import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError

VIEW, CART, BUY = 1, 2, 3
USERS = st.lists(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=12),
    min_size=1,
    max_size=8,
)


def by_hand(events):
    """Returns (training events, validation question, test question) of one user, the slow way."""
    buys = [place for place, (_, behavior) in enumerate(events) if behavior == BUY]
    if len(buys) < 3:
        return events, None, None
    validation, test = buys[-2], buys[-1]
    return (
        events[:validation],
        (events[:validation], events[validation][0]),
        (events[:test], events[test][0]),
    )


def questions_by_user(dataset, questions):
    pairs = list(zip(dataset.item_ids.tolist(), dataset.behavior_ids.tolist(), strict=True))
    return {
        user: (pairs[start:end], positive)
        for user, start, end, positive in zip(
            questions.users.tolist(),
            questions.starts.tolist(),
            questions.ends.tolist(),
            questions.positives.tolist(),
            strict=True,
        )
    }


@settings(deadline=None, max_examples=60, derandomize=True)
@given(USERS)
def test_leave_one_out_on_the_target(datasets, users):
    expected = [by_hand(events) for events in users]
    dataset = datasets["make"](users, num_items=9)
    if all(test is None for _, _, test in expected):
        with pytest.raises(InputError, match="3 events of the target"):
            split(dataset)
        return
    splits = split(dataset)
    validation = questions_by_user(dataset, splits.validation)
    test = questions_by_user(dataset, splits.test)
    trained = splits.training_events()
    for user, (training, for_validation, for_test) in enumerate(expected):
        assert test.get(user) == for_test
        # A validation question needs a history.
        asked = for_validation if for_validation and for_validation[0] else None
        assert validation.get(user) == asked
        if asked or for_validation is None:
            own = slice(dataset.offsets[user], dataset.offsets[user + 1])
            assert trained[own].sum() == len(training)
            assert trained[own][: len(training)].all()


def test_an_official_list_is_honoured(datasets):
    users = [
        [(1, VIEW), (2, BUY), (3, BUY)],  # listed: validated on 3, tested on 7
        [(8, VIEW), (2, BUY)],  # listed, one buy: tested only
        [(4, BUY), (5, BUY), (6, BUY)],  # not listed: trained on
    ]
    dataset = datasets["make"](users, held_out=[7, 8, 0], num_items=9)
    splits = split(dataset)
    assert questions_by_user(dataset, splits.validation) == {0: (users[0][:2], 3)}
    assert questions_by_user(dataset, splits.test) == {0: (users[0], 7), 1: (users[1], 8)}
    assert splits.train_ends.tolist() == [2, 5, 8]


def test_the_test_answer_is_nowhere_but_in_the_test(log):
    splits = split(log)
    test_events = splits.test.ends  # the answer directly follows its history
    assert np.all(splits.train_ends[splits.test.users] <= test_events)
    validated = np.isin(splits.test.users, splits.validation.users)
    assert np.all(splits.validation.ends <= test_events[validated])


def test_take_gives_the_questions_asked_for(log):
    test = split(log).test
    assert test.take(slice(2, 5)).positives.tolist() == test.positives[2:5].tolist()
    assert len(test.take(np.array([4, 1]))) == 2


def test_a_log_without_targets_cannot_be_split(datasets):
    with pytest.raises(InputError, match="'buy'"):
        split(datasets["make"]([[(1, VIEW), (2, CART)]]))


def test_the_last_event_can_be_held_out_whatever_it_is(datasets):
    users = [
        [(1, BUY), (2, VIEW), (3, CART), (4, VIEW)],
        [(5, BUY), (6, BUY), (7, BUY)],
        [(1, BUY), (2, BUY)],  # too short: trained on
    ]
    dataset = datasets["make"](users, num_items=9)
    splits = split(dataset, "last")
    assert questions_by_user(dataset, splits.validation) == {
        0: (users[0][:2], 3),
        1: (users[1][:1], 6),
    }
    assert questions_by_user(dataset, splits.test) == {0: (users[0][:3], 4), 1: (users[1][:2], 7)}
    assert splits.train_ends.tolist() == [2, 5, 9]
    with pytest.raises(InputError, match="no user has 3 events; use a longer log"):
        split(datasets["make"]([users[2]]), "last")
    with pytest.raises(InputError, match="ships its own held-out list"):
        split(datasets["make"](users, held_out=[9, 0, 0], num_items=9), "last")


def test_official_items_from_anywhere_are_validated_alike(datasets):
    """Events on the validation answer move to after the training events."""
    users = [
        [(1, VIEW), (3, VIEW), (2, CART), (3, BUY), (4, VIEW)],  # one buy: tested only
        [(5, BUY), (6, VIEW), (5, BUY)],  # bought only 5: validated on 5, with 6 as history
        [(5, BUY), (5, BUY)],  # no history would be left: trained on
        [(1, VIEW), (4, BUY), (4, BUY)],  # not listed: trained on as it is
        [(7, VIEW), (3, BUY), (7, BUY), (1, VIEW), (3, VIEW), (7, CART)],  # validated on 3 or 7
    ]
    dataset = datasets["make"](users, held_out=[8, 8, 8, 0, 8], num_items=9)
    splits = split(dataclasses.replace(dataset, held_out_anywhere=True))
    three, seven = [(3, BUY), (3, VIEW)], [(7, VIEW), (7, BUY), (7, CART)]
    validation = questions_by_user(splits.dataset, splits.validation)
    assert set(validation) == {1, 4}
    assert validation[1] == ([(6, VIEW)], 5)
    history, answer = validation[4]
    assert answer in (3, 7)
    rest = {3: [(7, VIEW), (7, BUY), (1, VIEW), (7, CART)], 7: [(3, BUY), (1, VIEW), (3, VIEW)]}
    assert history == rest[answer]
    assert questions_by_user(splits.dataset, splits.test) == {
        0: (users[0], 8),
        1: ([(6, VIEW), (5, BUY), (5, BUY)], 8),
        2: (users[2], 8),
        4: (rest[answer] + {3: three, 7: seven}[answer], 8),
    }
    assert splits.train_ends.tolist() == [5, 6, 10, 13, 13 + len(history)]
    assert sorted(splits.dataset.timestamps.tolist()) == list(range(19))


def test_any_target_event_may_be_the_validation_answer(datasets):
    """Each of three bought items is the answer about equally often, within 6 sigma."""
    users = [[(9, VIEW), (1, BUY), (2, BUY), (3, BUY)]] * 3000
    dataset = datasets["make"](users, held_out=[8] * 3000, num_items=9)
    anywhere = dataclasses.replace(dataset, held_out_anywhere=True)
    assert anywhere.fingerprint == dataset.fingerprint
    answers = split(anywhere).validation.positives
    assert np.array_equal(answers, split(anywhere).validation.positives)
    share = np.bincount(answers, minlength=4)[1:4] / 3000
    assert share.sum() == 1
    assert np.all(np.abs(share - 1 / 3) < 6 * np.sqrt(2 / 9 / 3000))


def test_only_target_events_are_visible(log):
    splits = split(log)
    seen = splits.visible("target")
    target = log.behaviors.target_id
    assert seen.dataset.num_items == log.num_items
    for part in ("validation", "test"):
        whole, visible = getattr(splits, part), getattr(seen, part)
        assert visible.positives.tolist() == whole.positives.tolist()
        for row in range(len(whole)):
            events = slice(whole.starts[row], whole.ends[row])
            kept = log.item_ids[events][log.behavior_ids[events] == target]
            events = slice(visible.starts[row], visible.ends[row])
            assert seen.dataset.item_ids[events].tolist() == kept.tolist()
    trained = splits.training_events() & (log.behavior_ids == target)
    assert seen.dataset.item_ids[seen.training_events()].tolist() == log.item_ids[trained].tolist()
    assert splits.visible("all") is splits


@pytest.mark.parametrize("anywhere", [False, True])
def test_an_official_list_without_a_second_target_cannot_be_split(datasets, anywhere):
    dataset = datasets["make"]([[(1, VIEW), (2, VIEW)]], held_out=[3], num_items=3)
    with pytest.raises(InputError, match="no user of the held-out list has two events"):
        split(dataclasses.replace(dataset, held_out_anywhere=anywhere))
