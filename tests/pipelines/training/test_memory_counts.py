"""What a memory starts from: counts of the training events, without each user's own part."""

import dataclasses
import itertools

import numpy as np
import pytest
from keras import ops

from hmar_keras import HMAR, HMARConfig
from hmar_keras.layers import LogMemory
from hmar_keras.models import SASRec, SASRecConfig
from hmar_keras.schema import ANSWER_SHARES, OWN_SHARES
from pipelines.evaluation.scoring import model_scorer
from pipelines.evaluation.session_cooccurrence import SessionCooccurrence
from pipelines.evaluation.touched_rules import TouchedByConversion, touched_sets
from pipelines.protocol import sessions as session_module
from pipelines.protocol.questions import history_items
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import target_rates
from pipelines.training.fit import prepare
from pipelines.training.host_batches import TrainingData
from pipelines.training.memory_counts import log_counts
from pipelines.training.own_shares import OwnShares

from ..asked_models import data_of
from ..evaluation import slow_rules
from .epochs import epochs_of

PLACES = 64
DAY = 100


@pytest.fixture(scope="module")
def splits(datasets):
    """Returns a split log with three sessions a user, whose items go together."""
    rng = np.random.default_rng(5)
    events, times = [], []
    for _ in range(60):
        group = rng.integers(0, 5)
        for day in range(3):
            chosen = 1 + (group * 6 + day * 2 + rng.integers(0, 4, 4)) % 30
            events.append([(int(item), int(rng.integers(1, 4))) for item in chosen])
            times += list(day * DAY + np.arange(4))
    users = [[*one, *two, *three] for one, two, three in zip(*[iter(events)] * 3, strict=True)]
    log = datasets["make"](users, num_items=30)
    return split(dataclasses.replace(log, timestamps=np.array(times)))


@pytest.fixture(params=[0, DAY], ids=["users", "sessions"])
def width(request, monkeypatch):
    """Sets the width of sessions, which the log would choose."""
    chosen = session_module.session_evidence

    def forced(*arguments):
        return dataclasses.replace(chosen(*arguments), width=request.param)

    monkeypatch.setattr(session_module, "session_evidence", forced)
    return request.param


def sessions_of(splits, width, without=None):
    """Returns the sets of items that are counted, by user."""
    found = {}
    for user, events in enumerate(slow_rules.training_log(splits)):
        if user == without:
            continue
        days = {}
        for item, _, time in events:
            days.setdefault(time // width if width else 0, set()).add(item)
        more = [each for each in days.values() if len(each) > 1] if width else []
        found[user] = [{item for item, _, _ in events}, *more]
    return found


def slow_sums(sessions):
    sums, users = np.zeros((31, 31)), np.zeros(31)
    for own in sessions.values():
        for item in own[0]:
            users[item] += 1
        for session in own:
            for i in session:
                for j in session - {i}:
                    sums[i, j] += 1 / len(session)
    return sums, users


def as_matrix(counts):
    found = np.zeros((31, 31))
    for item, place in zip(*np.nonzero(counts.pair_ids), strict=True):
        found[item, counts.pair_ids[item, place]] = counts.pair_values[item, place]
    return found


def test_pairs_equal_loops_over_sessions(splits, width):
    counts = log_counts(splits, PLACES)
    sums, users = slow_sums(sessions_of(splits, width))
    np.testing.assert_allclose(as_matrix(counts), sums, rtol=1e-5)
    np.testing.assert_array_equal(counts.users[1:], np.maximum(users, 1)[1:])


def test_the_best_pair_of_a_place_is_kept(splits, width):
    counts = log_counts(splits, 4)
    sums, users = slow_sums(sessions_of(splits, width))
    scaled = sums * np.maximum(users, 1) ** -0.3
    for item in range(1, 31):
        for place in range(4):
            rivals = [c for c in range(1, 31) if c % 4 == place and sums[item, c]]
            kept = counts.pair_ids[item, place]
            assert bool(kept) == bool(rivals)
            if kept:
                best, second = sorted([0, *(scaled[item, c] for c in rivals)])[:-3:-1]
                np.testing.assert_allclose(scaled[item, kept], best, rtol=1e-5)
                np.testing.assert_allclose(counts.pair_rivals[item, place], second, rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 1 << 22])
def test_of_equal_pairs_the_lower_id_is_kept(datasets, at_once, monkeypatch):
    """Candidates 3, 7 and 11 compete for a place; 11 has fewer users in the second log."""
    monkeypatch.setattr("pipelines.protocol.sessions._PAIRS_AT_ONCE", at_once)
    together = [(item, 3) for item in (11, 7, 1, 3, 2, 2)]
    for lonely, best in ([11, 7, 3], 3), ([7, 3], 11):
        users = [[*together, (4, 3), (4, 3)], *([(item, 1)] for item in lonely * 2)]
        counts = log_counts(split(datasets["make"](users, num_items=12)), 4)
        assert counts.pair_ids[1].tolist() == [0, 0, 2, best]
        assert counts.pair_ids[3].tolist() == [0, 1, 2, {3: 7, 11: 11}[best]]
        assert counts.pair_ids[11].tolist() == [0, 1, 2, 3]
        np.testing.assert_allclose(counts.pair_values[1], [0, 0, 1 / 5, 1 / 5])


def test_shares_leave_exactly_what_the_other_users_count(splits, width):
    """The sums of a log without a user equal all sums less the products of this user's shares."""
    own, log = OwnShares.of(splits), splits.dataset
    sums, _ = slow_sums(sessions_of(splits, width))
    for user in range(0, log.num_users, 7):
        expected, _ = slow_sums(sessions_of(splits, width, without=user))
        events = range(splits.train_starts[user], splits.train_ends[user])
        shares = {
            int(log.item_ids[event]): dict(
                zip(
                    own.sessions[slice(*own.starts[own.pairs[event] :][:2])].tolist(),
                    own.shares[slice(*own.starts[own.pairs[event] :][:2])].tolist(),
                    strict=True,
                )
            )
            for event in events
        }
        for i, of_i in shares.items():
            for j, of_j in shares.items():
                if i != j:
                    product = sum(of_i[s] * of_j[s] for s in of_i.keys() & of_j.keys())
                    np.testing.assert_allclose(sums[i, j] - product, expected[i, j], atol=1e-5)
    held_out = ~splits.training_events()
    assert held_out.any()
    assert not own.pairs[held_out].any()


def pair_value(counts, item, candidate, sessions=()):
    """Returns what a memory knows about a pair without a user's own sessions, as sets of items."""
    place = candidate % counts.pair_ids.shape[1]
    if counts.pair_ids[item, place] != candidate:
        return 0.0
    share = sum(1 / len(s) for s in sessions if item in s and candidate in s)
    n_item, n_candidate = counts.users[[item, candidate]] - bool(share)
    left = counts.pair_values[item, place] - share
    left = left * n_candidate**-0.3 if left > 1e-5 * share else 0.0
    if share and left <= counts.pair_rivals[item, place]:
        return 0.0
    return left * n_item**-0.7


def test_in_training_the_table_is_that_of_the_other_users(splits, width):
    """A user's own sessions decide neither a value nor whether the table keeps it."""
    counts, evicted = log_counts(splits, 4), 0
    for user in range(0, splits.dataset.num_users, 5):
        ends = splits.train_ends.copy()
        ends[user] = splits.train_starts[user]
        without = log_counts(dataclasses.replace(splits, train_ends=ends), 4)
        own = sessions_of(splits, width)[user]
        for i, c in itertools.permutations(own[0], 2):
            if any(each % 4 == c % 4 for each in own[0] - {i, c}):
                continue  # the rival's value may hold the user's sessions
            expected = pair_value(without, i, c)
            np.testing.assert_allclose(pair_value(counts, i, c, own), expected, rtol=1e-4)
            evicted += pair_value(counts, i, c) > 0 and not expected
    assert evicted > 3


@pytest.mark.parametrize("order", ["time", "random"])
def test_batches_bring_the_shares_of_their_events(way, splits, width, config, order):
    changes = {"memory": True, "loss": "sampled_softmax", "shared_negatives": True}
    config = config.replace(**changes, training_order=order, batch_size=8, max_length=20)
    data = data_of(way, splits, config)
    sessions = sessions_of(splits, width)
    checked = 0
    for inputs, _ in epochs_of(data, 0, 1):
        items, answers = inputs["item_ids"], inputs["candidate_ids"][:, :, 0]
        length = items.shape[1]
        np.testing.assert_array_equal(inputs["negative_ids"][:, :length], items)
        for row in range(len(items)):
            known = {*items[row].tolist(), *answers[row].tolist()} - {0}
            users = [user for user, own in sessions.items() if own[0] >= known]
            if len(users) > 1:
                continue
            pairs = [*zip(items[row], inputs[OWN_SHARES][row], strict=True)]
            pairs += zip(answers[row], inputs[ANSWER_SHARES][row], strict=True)
            for item, shares in pairs:
                expected = sorted(len(s) ** -0.5 for s in sessions[users[0]] if item in s)
                np.testing.assert_allclose(sorted(shares[shares > 0]), expected, rtol=1e-5)
                checked += len(expected)
    assert checked > 100


def small(kind, settings, splits, **changes):
    config = settings(
        splits.dataset.num_items,
        splits.dataset.behaviors,
        dim=4,
        max_length=25,
        memory=True,
        loss="sampled_softmax",
        shared_negatives=True,
        num_negatives=5,
        **changes,
    )
    return kind(config)


@pytest.mark.parametrize("kind", [(HMAR, HMARConfig), (SASRec, SASRecConfig)], ids=lambda k: k[0])
@pytest.mark.parametrize("chosen", ["log", "splits"])
def test_before_training_scores_rank_like_the_rules(request, chosen, kind):
    """Touched items like the conversion rule, the others like co-occurrence."""
    found = request.getfixturevalue(chosen)
    splits = found if chosen == "splits" else split(found)
    model = small(*kind, splits)
    prepare(model, splits)
    asked = splits.test
    scores = model_scorer(model, splits.dataset)(asked)
    by_conversion = TouchedByConversion(splits)(asked)
    together = SessionCooccurrence(splits)(asked)
    rates = target_rates(splits)
    rows, items, sets, _ = touched_sets(splits.dataset, asked)
    conversion = log_counts(splits, PLACES).conversion
    for row in range(len(asked)):
        mine = rows == row
        touched = items[mine]
        untouched = np.setdiff1d(np.arange(1, splits.dataset.num_items + 1), touched)
        order = untouched[np.argsort(-scores[row, untouched], kind="stable")]
        # Rounded differently; without co-occurrence, the rule's scores are below 1e-9.
        assert (np.diff(together[row, order]) <= 1e-5 * together[row, order[:-1]] + 1e-9).all()
        back = rates[sets[mine]] > rates[0]
        if len(untouched):
            assert (scores[row, touched[back]] > scores[row, untouched].max()).all()
            assert (scores[row, touched[~back]] < scores[row, untouched].min()).all()
        order = touched[np.argsort(-scores[row, touched], kind="stable")]
        for better, worse in itertools.pairwise(order):
            if abs(conversion[better] - conversion[worse]) > 1e-3:  # else recency decides
                assert by_conversion[row, better] > by_conversion[row, worse]


def test_a_trained_model_keeps_its_counts(log, config, tmp_path):
    from pipelines.training.fit import train
    from pipelines.training.run_directory import RunDirectory

    changes = {"loss": "sampled_softmax", "shared_negatives": True, "memory": True}
    config = config.replace(**changes, epochs=2)
    splits = split(log)
    run = RunDirectory.create(tmp_path / "run", {}, config)
    model = train(splits, config, run, seed=0)
    expected = LogMemory(log.num_items, log.behaviors, config.model.max_length)
    expected.build()
    expected.assign(log_counts(splits, expected.pairs.num_places))
    for weight, other in zip(model.memory.weights, expected.weights, strict=True):
        same = np.array_equal(*(ops.convert_to_numpy(each) for each in (weight, other)))
        assert same != weight.trainable, weight.name


def test_history_items_are_touched(log):
    splits = split(log)
    rows, items, sets, ages = touched_sets(log, splits.test)
    expected = set(zip(*(each.tolist() for each in history_items(log, splits.test)), strict=True))
    assert set(zip(rows.tolist(), items.tolist(), strict=True)) == expected
    assert (sets > 0).all()
    assert (ages >= 0).all()


@pytest.mark.parametrize("seen", ["all", "target"])
def test_a_training_measures_its_sessions_once(datasets, seen, config, monkeypatch):
    measured = []
    best_evidence = session_module._best_evidence

    def counted(splits, touched):
        measured.append(splits)
        return best_evidence(splits, touched)

    monkeypatch.setattr(session_module, "_best_evidence", counted)
    splits = split(datasets["random"](3))
    changes = {"loss": "sampled_softmax", "shared_negatives": True, "memory": True}
    config = config.replace(**changes, input_behaviors=seen)
    model = config.build_model()
    TrainingData(splits, model, config.training, seed=0)
    prepare(model, splits)
    SessionCooccurrence(splits.visible(seen))
    assert len(measured) == 1
    assert measured[0] is splits.visible(seen)
    changed = dataclasses.replace(splits, train_ends=splits.train_starts + 1)
    SessionCooccurrence(changed)
    assert len(measured) == 2
    assert measured[1] is changed
