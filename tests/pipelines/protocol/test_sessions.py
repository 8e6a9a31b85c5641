"""Which sessions the log chooses, against loops over users and sessions."""

import dataclasses

import numpy as np
import pytest
from scipy import special

from pipelines.protocol import sessions
from pipelines.protocol.sessions import session_evidence
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import touched_items
from pipelines.training.memory_counts import log_counts

from ..evaluation import slow_rules

ITEMS = 24
SECONDS = 1_700_006_400  # the first of a day


@pytest.fixture(scope="module")
def splits(datasets):
    """Returns a split log in which items of a group share an hour."""
    rng = np.random.default_rng(2)
    users, times = [], []
    for _ in range(150):
        groups = rng.permutation(6)[:4]
        items = [4 * group + each for group in groups for each in rng.permutation(4)[:3] + 1]
        users.append([(int(item), int(rng.integers(2, 4))) for item in items])
        hours = np.repeat(np.arange(4) * 30, 3)
        times += (SECONDS + 3_600 * hours + 900 * np.tile(np.arange(3), 4)).tolist()
    log = datasets["make"](users, num_items=ITEMS)
    return split(dataclasses.replace(log, timestamps=np.array(times)))


def slow_questions(splits):
    """The answer and the history, by user, of all users who can be asked."""
    questions = {}
    for user, events in enumerate(slow_rules.training_log(splits)):
        for place, (item, behavior, _) in enumerate(events):
            before = {each for each, _, _ in events[:place]}
            if before and item not in before and behavior == splits.dataset.behaviors.target_id:
                questions[user] = item, before
    return questions


def slow_scores(splits, width, history, asked):
    """Co-occurrence of a history with all items, in the sessions of users who are not asked."""
    users, found = np.zeros(ITEMS + 1), []
    for user, events in enumerate(slow_rules.training_log(splits)):
        whole, buckets = {item for item, _, _ in events}, {}
        users[list(whole)] += 1
        for item, _, time in events if width else []:
            buckets.setdefault(time // width, set()).add(item)
        if user not in asked:
            found += [whole, *(each for each in buckets.values() if len(each) > 1)]
    scores = np.zeros(ITEMS + 1)
    for session in found:
        for j in session & history:
            for i in session:
                scores[i] += users[j] ** -0.7 * users[i] ** -0.3 / len(session)
    return scores


def slow_evidence(splits, width):
    """The scores of untouched items with the answer first, by question."""
    questions = slow_questions(splits)
    most = splits.dataset.num_users // 10
    asked = list(questions)[:: -(-len(questions) // most)]
    rows = []
    for user in asked:
        answer, history = questions[user]
        scores = slow_scores(splits, width, history, asked)
        others = set(range(1, ITEMS + 1)) - history - {answer}
        rows.append(scores[[answer, *sorted(others)]])
    return rows


def slow_gain(rows):
    return np.mean([1 / np.log2(2 + sum(row[1:] >= row[0] - 1e-7)) for row in rows])


def test_the_best_sessions_are_chosen(splits):
    widths = 0, 1, 60, 3_600, 86_400
    gains = [slow_gain(slow_evidence(splits, width)) for width in widths]
    evidence = session_evidence(splits, touched_items(splits))
    assert evidence.width == widths[np.argmax(gains)] == 3_600
    np.testing.assert_allclose(evidence.gain(), max(gains), rtol=1e-6)


def test_evidence_equals_loops_over_sessions(splits):
    evidence = session_evidence(splits, touched_items(splits))
    rows = slow_evidence(splits, evidence.width)
    assert len(rows) > 5
    np.testing.assert_allclose(evidence.of_answers, [row[0] for row in rows], rtol=1e-5)
    np.testing.assert_allclose(evidence.highest, [row.max() for row in rows], rtol=1e-5)
    sums = [[(row**power).sum() for power in range(4)] for row in rows]
    np.testing.assert_allclose(evidence.power_sums, sums, rtol=1e-5)


def test_the_scale_suits_a_softmax(splits):
    rows = slow_evidence(splits, 3_600)

    def loss(scale):
        logits = [3 * np.log(1 + row * scale / 3) for row in rows]
        return np.mean([special.logsumexp(each) - each[0] for each in logits])

    scale = log_counts(splits, 32).scale
    assert loss(scale) < min(loss(scale * 1.002), loss(scale / 1.002))


@pytest.mark.parametrize("most, fewest, expected", [(10, 4, 10), (2, 4, 4), (99, 4, 15)])
def test_few_users_are_asked_where_their_scores_would_not_fit(
    splits, most, fewest, expected, monkeypatch
):
    """But not more than a tenth of the 150."""
    monkeypatch.setattr(sessions, "_MOST_SCORES", most * (ITEMS + 1))
    monkeypatch.setattr(sessions, "_FEWEST_ASKED", fewest)
    again = dataclasses.replace(splits)  # keeps nothing that was measured
    evidence = session_evidence(again, touched_items(again))
    assert len(evidence.ranks) == expected


def test_results_are_kept_with_their_splits(splits):
    first, other = dataclasses.replace(splits), dataclasses.replace(splits)
    assert first.once("number", lambda: 1) == 1
    assert first.once("number", lambda: 2) == 1
    assert first.once("another", lambda: 3) == 3
    assert other.once("number", lambda: 2) == 2
    assert dataclasses.replace(first).once("number", lambda: 4) == 4
