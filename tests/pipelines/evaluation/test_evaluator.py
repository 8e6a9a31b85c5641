import itertools
import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.baselines import Popularity, baselines
from pipelines.evaluation.evaluator import (
    CUTOFFS,
    FULL,
    FULL_RETURNABLE,
    FULL_UNSEEN,
    PROTOCOLS,
    SAMPLED,
    SAMPLED_POPULAR,
    Evaluator,
    validation_score,
)
from pipelines.protocol.questions import evaluation_candidates
from pipelines.protocol.splits import EvaluationSet, split
from pipelines.runtime.errors import InputError


def rank_by_sorting(items, positive, scores):
    """Returns the positive's rank among `items`, best first, by the rules of the evaluation."""

    def place(item):
        broken = not math.isfinite(scores[item])
        if item == positive:
            return (1, math.inf) if broken else (0, -float(scores[item]), 1)  # loses ties
        return (-1, 0) if broken else (0, -float(scores[item]), 0)

    return sorted(items, key=place).index(positive)


def ranks_by_hand(dataset, questions, candidates, scores, never=()):
    """Returns `(ranks, sizes)` by protocol, one question at a time; None for questions left out."""
    results = {protocol: ([], []) for protocol in (*PROTOCOLS, FULL_RETURNABLE)}
    for row in range(len(questions)):
        positive = int(questions.positives[row])
        history = {}
        for event in range(questions.starts[row], questions.ends[row]):
            item, behavior = int(dataset.item_ids[event]), int(dataset.behavior_ids[event])
            history[item] = max(behavior, history.get(item, 0))
        everything = list(range(1, dataset.num_items + 1))
        among = {
            SAMPLED: candidates[row].tolist(),
            FULL: everything,
            FULL_UNSEEN: [item for item in everything if item not in history],
            FULL_RETURNABLE: [item for item in everything if history.get(item) not in never],
        }
        for protocol, items in among.items():
            asked = positive in items
            rank = rank_by_sorting(items, positive, scores[row]) if asked else None
            results[protocol][0].append(rank)
            results[protocol][1].append(len(items))
    return results


def metrics_by_hand(ranks, sizes):
    asked = [(rank, size) for rank, size in zip(ranks, sizes, strict=True) if rank is not None]
    metrics = {"questions": len(asked), "candidates": 0.0}
    metrics |= {f"{metric}@{k}": 0.0 for metric in ("hr", "ndcg") for k in CUTOFFS}
    for rank, size in asked:
        metrics["candidates"] += size / len(asked)
        for k in CUTOFFS:
            if rank < k:
                metrics[f"hr@{k}"] += 1 / len(asked)
                metrics[f"ndcg@{k}"] += 1 / math.log2(rank + 2) / len(asked)
    return metrics


def scorer_of(scores, questions):
    """Returns a scorer that looks up the scores of each user, in any order of the questions."""
    place = np.zeros(questions.users.max() + 1, int)
    place[questions.users] = np.arange(len(questions))
    return lambda asked: scores[place[asked.users]]


class CandidateTable:
    """A scorer with the same scores that can also score candidates only."""

    def __init__(self, scores, questions):
        self._scorer = scorer_of(scores, questions)
        self.widths = []

    def __call__(self, questions):
        self.widths.append(None)
        return self._scorer(questions)

    def candidates(self, questions, item_ids):
        self.widths.append(item_ids.shape)
        return np.take_along_axis(self._scorer(questions), item_ids, axis=1)


def assert_as_by_hand(evaluator, scores, protocols=PROTOCOLS, scorer=None, never=()):
    dataset, questions = evaluator.dataset, evaluator.questions
    scorer = scorer or scorer_of(scores, questions)
    results = evaluator(scorer, protocols)
    ranks = evaluator.ranks(scorer, protocols)
    expected = ranks_by_hand(dataset, questions, evaluator.candidates, scores, never)
    assert list(results) == list(ranks) == list(protocols)
    for protocol in protocols:
        by_hand, sizes = expected[protocol]
        actual = [None if rank < 0 else rank for rank in ranks[protocol].ranks.tolist()]
        assert actual == by_hand, protocol
        asked = [row for row, rank in enumerate(by_hand) if rank is not None]
        assert ranks[protocol].sizes[asked].tolist() == [sizes[row] for row in asked]
        metrics = metrics_by_hand(by_hand, sizes)
        assert results[protocol] == pytest.approx(metrics, abs=1e-12), protocol


def make_scores(rng, kind, shape):
    scores = rng.normal(size=shape).astype(np.float32)
    if kind == "ties":
        scores = np.round(scores)
    if kind == "broken":
        broken = rng.choice([np.nan, np.inf, -np.inf], size=shape)
        scores = np.where(rng.random(shape) < 0.1, broken, np.round(scores, 1))
    if kind == "negative infinity":
        scores[rng.random(shape) < 0.2] = -np.inf
    if kind == "nothing finite":
        scores = rng.choice([np.nan, np.inf, -np.inf], size=shape)
    return scores.astype(np.float32)


KINDS = ["random", "ties", "broken", "negative infinity", "nothing finite"]


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_and_metrics_equal_a_slow_count(log, kind):
    questions = split(log).test
    scores = make_scores(np.random.default_rng(1), kind, (len(questions), log.num_items + 1))
    assert_as_by_hand(Evaluator(log, questions, seed=0), scores)


@st.composite
def logs_with_questions(draw):
    """Draws logs with much repetition, users who know all items, and any number of candidates."""
    num_items = draw(st.integers(2, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    events, positives, candidates = [], [], []
    num_candidates = int(rng.integers(1, num_items + 1))
    for _ in range(draw(st.integers(1, 12))):
        length = int(rng.choice([1, 2, 5, 4 * num_items]))
        history = rng.integers(1, num_items + 1, size=length)
        if rng.random() < 0.3:
            history = np.concatenate([history, rng.permutation(num_items) + 1])
        events.append([(int(item), int(rng.integers(1, 4))) for item in history])
        positive = int(
            rng.choice(history) if rng.random() < 0.3 else rng.integers(1, num_items + 1)
        )
        others = rng.permutation([item for item in range(1, num_items + 1) if item != positive])
        positives.append(positive)
        candidates.append([positive, *others[: num_candidates - 1]])
    scores = make_scores(rng, draw(st.sampled_from(KINDS)), (len(events), num_items + 1))
    return events, num_items, np.array(positives), np.array(candidates, np.int32), scores


PROTOCOL_SETS = [
    chosen
    for count in (1, 2, 3, 4)
    for chosen in itertools.combinations((*PROTOCOLS, FULL_RETURNABLE), count)
]
NEVER = [{1}, {2}, {3}, {1, 2}, {1, 3}, {2, 3}]  # some of three behaviours


@settings(deadline=None, max_examples=150)
@given(
    case=logs_with_questions(),
    protocols=st.sampled_from(PROTOCOL_SETS),
    never=st.sampled_from(NEVER),
    batch=st.integers(1, 13),
    direct=st.booleans(),
)
def test_any_log_any_batches_any_protocols(datasets, case, protocols, never, batch, direct):
    events, num_items, positives, candidates, scores = case
    log = datasets["make"](events, num_items=num_items)
    users = np.arange(len(events))
    questions = EvaluationSet(users, log.offsets[:-1], log.offsets[1:], positives)
    with (
        mock.patch("pipelines.evaluation.evaluator.evaluation_candidates", lambda *_: candidates),
        mock.patch("pipelines.evaluation.evaluator._QUESTIONS_AT_ONCE", batch),
    ):
        scorer = CandidateTable(scores, questions) if direct else None
        evaluator = Evaluator(log, questions, seed=0, never_returns=never)
        assert_as_by_hand(evaluator, scores, protocols, scorer, never)


@pytest.mark.parametrize(
    ("never", "exists"), [((), False), ((3,), True), ((1, 2), True), ((1, 2, 3), False)]
)
def test_what_can_return_is_asked_only_where_it_makes_a_difference(log, never, exists):
    """Without such behaviours it would equal `full`, and if all are such, `full_unseen`."""
    questions, popularity = split(log).test, Popularity(split(log))
    evaluator = Evaluator(log, questions, seed=0, never_returns=never)
    assert (FULL_RETURNABLE in evaluator.protocols) == exists
    results = evaluator(popularity)
    assert list(results) == [*PROTOCOLS, *([FULL_RETURNABLE] if exists else [])]
    # Nothing else depends on it, the number that training stops on least of all.
    plain = Evaluator(log, questions, seed=0)(popularity)
    assert {name: results[name] for name in PROTOCOLS} == plain
    assert validation_score(results) == validation_score(plain)
    if not exists:
        with pytest.raises(ValueError, match="full_returnable"):
            evaluator(popularity, (FULL_RETURNABLE,))


@pytest.mark.parametrize("limit", ["_SCORES_AT_ONCE", "_QUESTIONS_AT_ONCE"])
@pytest.mark.parametrize("questions_at_once", [1, 3, 7, 1000])
def test_batching_changes_nothing(log, monkeypatch, limit, questions_at_once):
    questions, scorers = split(log).test, baselines(split(log))
    whole = {name: Evaluator(log, questions, seed=0)(scorer) for name, scorer in scorers.items()}
    width = log.num_items + 1 if limit == "_SCORES_AT_ONCE" else 1
    monkeypatch.setattr(f"pipelines.evaluation.evaluator.{limit}", questions_at_once * width)
    for name, scorer in scorers.items():
        assert Evaluator(log, questions, seed=0)(scorer) == whole[name]


def test_batches_are_of_one_size_and_cover_all_questions(log, monkeypatch):
    questions, asked = split(log).test, []
    monkeypatch.setattr("pipelines.evaluation.evaluator._QUESTIONS_AT_ONCE", 7)
    assert len(questions) % 7

    def scorer(batch):
        asked.append(batch)
        return np.zeros((len(batch), log.num_items + 1), np.float32)

    Evaluator(log, questions, seed=0)(scorer)
    assert {len(batch) for batch in asked} == {7}
    assert len(asked) == -(-len(questions) // 7)
    assert set(np.concatenate([batch.users for batch in asked])) == set(questions.users)
    # Sorted by length, so that padding can be trimmed.
    longest = [(batch.ends - batch.starts).max() for batch in asked]
    assert longest == sorted(longest)


def test_sampled_alone_does_not_score_the_catalogue(log):
    questions = split(log).test
    scores = make_scores(np.random.default_rng(2), "broken", (len(questions), log.num_items + 1))
    evaluator = Evaluator(log, questions, seed=0)
    scorer = CandidateTable(scores, questions)
    alone = evaluator(scorer, (SAMPLED,))
    assert scorer.widths == [evaluator.candidates.shape]
    assert alone == {SAMPLED: evaluator(scorer)[SAMPLED]}
    assert scorer.widths[1:] == [None]
    # A scorer that cannot score candidates scores the catalogue.
    assert evaluator(scorer_of(scores, questions), (SAMPLED,)) == alone


def test_scores_are_left_as_they_are(log):
    questions = split(log).test
    scores = make_scores(np.random.default_rng(3), "broken", (len(questions), log.num_items + 1))
    scores.flags.writeable = False
    Evaluator(log, questions, seed=0)(lambda asked: scores[: len(asked)])
    # The padding column is ignored.
    other = scores.copy()
    other[:, 0] = np.inf
    evaluator = Evaluator(log, questions, seed=0)
    assert evaluator(scorer_of(scores, questions)) == evaluator(scorer_of(other, questions))


def test_an_unknown_protocol_is_named(log):
    with pytest.raises(ValueError, match="fulll"):
        Evaluator(log, split(log).test, seed=0)(Popularity(split(log)), ("fulll",))


def test_who_knows_all_items_leaves_no_negatives(datasets):
    log = datasets["make"]([[(1, 3), (2, 3), (3, 3), (1, 3)]], num_items=3)
    with pytest.raises(InputError, match="touched every item"):
        Evaluator(log, split(log).test, seed=0)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("protocols", [PROTOCOLS, (SAMPLED,)])
def test_a_constant_scorer_earns_nothing(datasets, value, protocols):
    log = datasets["random"](0, num_items=200)  # last of more than 20 is not a hit at 20
    questions = split(log).test
    scores = np.full((len(questions), log.num_items + 1), value, np.float32)
    results = Evaluator(log, questions, seed=0)(CandidateTable(scores, questions), protocols)
    for metrics in results.values():
        assert metrics["questions"] > 0
        assert all(metrics[f"hr@{k}"] == metrics[f"ndcg@{k}"] == 0 for k in CUTOFFS)


def test_an_oracle_earns_everything(log):
    def oracle(asked):
        scores = np.zeros((len(asked), log.num_items + 1), np.float32)
        scores[np.arange(len(asked)), asked.positives] = 1
        return scores

    for metrics in Evaluator(log, split(log).test, seed=0)(oracle).values():
        assert all(metrics[f"ndcg@{k}"] == 1 for k in CUTOFFS)


@pytest.mark.parametrize(("new", "score"), [(7, 0.25), (0, 0.2), (9, 0.1)])
def test_the_validation_score_follows_the_questions(new, score):
    """With 9 of 9 answers new, only the ranking of new items counts."""
    results = {"full": {"ndcg@10": 0.4, "questions": 9}}
    results["full_unseen"] = {"ndcg@10": 0.1 if new else 0.0, "questions": new}
    assert validation_score(results) == score


def test_negatives_by_popularity_are_ranked_as_the_others(log):
    questions, rng = split(log).test, np.random.default_rng(3)
    popularity = rng.integers(0, 50, log.num_items + 1)
    scores = make_scores(rng, "ties", (len(questions), log.num_items + 1))
    evaluator = Evaluator(log, questions, 5, popularity)
    ranks = evaluator.ranks(scorer_of(scores, questions), [SAMPLED_POPULAR, FULL])
    candidates = evaluation_candidates(log, questions, 5, popularity)
    assert (candidates[:, 0] == questions.positives).all()
    expected = [
        rank_by_sorting(row.tolist(), row[0], scores[number])
        for number, row in enumerate(candidates)
    ]
    assert ranks[SAMPLED_POPULAR].ranks.tolist() == expected
    assert set(ranks[SAMPLED_POPULAR].sizes.tolist()) == {candidates.shape[1]}
    # Nothing else changes, and the protocol is not available without a popularity.
    plain = Evaluator(log, questions, 5)
    assert np.array_equal(plain.candidates, evaluator.candidates)
    with pytest.raises(ValueError, match="protocols must be among"):
        plain(scorer_of(scores, questions), [SAMPLED_POPULAR])
