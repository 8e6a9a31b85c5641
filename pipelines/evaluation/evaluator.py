"""How well a scorer answers held-out questions, under several protocols side by side.

`sampled`: the answer among 99 random items outside the user's history; the paper's protocol.
`sampled_popular`: the same, with items drawn in proportion to their training events.
`full`: the answer among the whole catalogue.
`full_unseen`: the answer among the items that the user has not touched; only if it is one of them.
`full_returnable`: the answer among the items that can come back; only if it is one of them. Those
    that cannot are the touched ones whose strongest behaviour in the history is such that items
    never come back after it. It exists only for logs with such behaviours and with others.

The answer ranks last among equal scores, and an answer whose score is not finite is never a hit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

import numpy as np

from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.evaluation.scoring import CandidateScorer, Scorer, model_scorer
from pipelines.protocol.questions import evaluation_candidates, strongest_behaviors
from pipelines.protocol.splits import EvaluationSet

__all__ = [
    "COLUMNS",
    "CUTOFFS",
    "FULL",
    "FULL_RETURNABLE",
    "FULL_UNSEEN",
    "PROTOCOLS",
    "SAMPLED",
    "SAMPLED_POPULAR",
    "Evaluator",
    "Ranks",
    "Scorer",
    "gains",
    "model_scorer",
    "validation_score",
]

CUTOFFS = (1, 5, 10, 20)
PROTOCOLS = SAMPLED, FULL, FULL_UNSEEN = "sampled", "full", "full_unseen"
# Only for evaluators that are given what they need.
SAMPLED_POPULAR, FULL_RETURNABLE = "sampled_popular", "full_returnable"
# Titles of the columns in tables of a run's results, in order.
COLUMNS = {
    SAMPLED: "sampled",
    FULL: "full",
    FULL_UNSEEN: "new items",
    FULL_RETURNABLE: "can return",
}
_SCORES_AT_ONCE = 1 << 23  # 32 MiB
_QUESTIONS_AT_ONCE = 512


def validation_score(results: dict) -> float:
    """Returns the number that training and tuning maximise: NDCG@10 over the whole catalogue.

    If every answer is new to its user, it is that of `full_unseen`. Otherwise it is the mean of
    `full` and `full_unseen`: answers that the user has touched before are so much easier that
    `full` alone would peak after one epoch, before the model knows anything about new items.
    """
    full, unseen = results[FULL], results[FULL_UNSEEN]
    if unseen["questions"] == full["questions"]:
        return unseen["ndcg@10"]
    return (full["ndcg@10"] + unseen["ndcg@10"]) / 2


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The answers' ranks under one protocol.

    Args:
        ranks: int64 [questions], how many items rank above the answer; -1 if the protocol does not
            ask the question.
        sizes: int64 [questions], how many items the answer is ranked among.
    """

    ranks: np.ndarray
    sizes: np.ndarray

    def metrics(self) -> dict[str, float]:
        """Returns HR and NDCG at all cut-offs, the number of `questions` and mean `candidates`."""
        asked = self.ranks >= 0
        ranks = self.ranks[asked]
        metrics = {"questions": len(ranks)}
        for k in CUTOFFS:
            for metric in ("hr", "ndcg"):
                metrics[f"{metric}@{k}"] = _mean(gains(ranks, metric, k))
        return {**metrics, "candidates": _mean(self.sizes[asked])}


def gains(ranks: np.ndarray, metric: str, k: int) -> np.ndarray:
    """Returns what each question adds to HR or NDCG at k: float64 [questions], for ranks from 0."""
    if metric == "hr":
        return (ranks < k).astype(np.float64)
    return np.where(ranks < k, 1 / np.log2(ranks + 2.0), 0.0)


class Evaluator:
    """Asks every scorer the same questions with the same negatives.

    Args:
        dataset: the dataset of the questions.
        questions: the validation or test questions.
        seed: seed of the sampled negatives.
        popularity: float [num_items + 1] by item id, the weights of `sampled_popular`; None
            without that protocol.
        never_returns: ids of the behaviours after which items never come back, see
            `never_returning`. If it is empty or names all behaviours, there is no
            `full_returnable`, which would equal `full` or, but for rare answers, `full_unseen`.

    Attributes:
        protocols: all protocols of this evaluator.
    """

    def __init__(
        self,
        dataset: InteractionDataset,
        questions: EvaluationSet,
        seed: int,
        popularity: np.ndarray | None = None,
        never_returns: Collection[int] = (),
    ):
        self.dataset = dataset
        self.questions = questions
        self.candidates = evaluation_candidates(dataset, questions, seed)
        self._sampled = {SAMPLED: self.candidates}
        if popularity is not None:
            drawn = evaluation_candidates(dataset, questions, seed, popularity)
            self._sampled[SAMPLED_POPULAR] = drawn
        self.protocols = (*self._sampled, FULL, FULL_UNSEEN)
        self._never_returns = list(never_returns)
        if 0 < len(set(never_returns)) < len(dataset.behaviors):
            self.protocols += (FULL_RETURNABLE,)

    def __call__(
        self, scorer: Scorer, protocols: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """Returns HR and NDCG by protocol: `results["full"]["ndcg@10"]`.

        In addition to the metrics there are `questions`, how many were asked, and `candidates`, how
        many items each answer is ranked among (on average, if it varies).

        Args:
            scorer: the scorer to evaluate. For `sampled` alone, a `CandidateScorer` only scores the
                candidates, which is much faster with a large catalogue.
            protocols: some of `self.protocols`; None for all.

        Raises:
            ValueError: if the evaluator has no such protocol.
        """
        ranks = self.ranks(scorer, protocols)
        return {protocol: ranks[protocol].metrics() for protocol in ranks}

    def ranks(self, scorer: Scorer, protocols: Collection[str] | None = None) -> dict[str, Ranks]:
        """Returns the ranks of every question that `__call__` summarises."""
        known = sorted(self.protocols)
        protocols = self.protocols if protocols is None else protocols
        if not set(protocols) <= set(known):
            raise ValueError(f"protocols must be among {known}, got {sorted(protocols)}.")
        count = len(self.questions)
        results = {
            protocol: Ranks(np.empty(count, np.int64), np.empty(count, np.int64))
            for protocol in protocols
        }
        if set(results) == {SAMPLED} and isinstance(scorer, CandidateScorer):
            rank, width = self._rank_candidates, self.candidates.shape[1]
        else:
            rank, width = self._rank_catalog, self.dataset.num_items + 1
        for rows in self._batches(width):
            for protocol, (ranks, sizes) in rank(scorer, rows, results).items():
                results[protocol].ranks[rows] = ranks
                results[protocol].sizes[rows] = sizes
        return results

    def _batches(self, width) -> Iterator[np.ndarray]:
        """Yields the rows of questions to ask together when each has `width` scores.

        Their histories are about equally long, so a scorer can omit most padding. All batches have
        the same size, because some backends compile every size separately: the last batch repeats
        questions of the one before.
        """
        count = len(self.questions)
        order = np.argsort(self.questions.ends - self.questions.starts, kind="stable")
        size = min(count, _QUESTIONS_AT_ONCE, max(1, _SCORES_AT_ONCE // width))
        for start in range(0, count, size):
            start = min(start, count - size)
            yield order[start : start + size]

    def _rank_candidates(self, scorer, rows, protocols):
        """Returns ranks and sizes of `sampled`, from the scores of the candidates alone."""
        candidates = self.candidates[rows]
        scores = scorer.candidates(self.questions.take(rows), candidates)
        below = _below(scores, scores[:, 0])  # the positive is the first
        return {SAMPLED: _ranks(candidates.shape[1], np.count_nonzero(below, axis=1))}

    def _rank_catalog(self, scorer, rows, protocols):
        """Returns ranks and sizes by protocol, from the scores of the whole catalogue."""
        questions = self.questions.take(rows)
        scores = scorer(questions)
        below = _below(scores[:, 1:], scores[np.arange(len(rows)), questions.positives])
        count = np.count_nonzero(below, axis=1)
        results = {}
        for protocol in set(protocols) & set(self._sampled):
            candidates = self._sampled[protocol][rows]
            chosen = np.take_along_axis(below, candidates - 1, axis=1)
            results[protocol] = _ranks(candidates.shape[1], np.count_nonzero(chosen, axis=1))
        if FULL in protocols:
            results[FULL] = _ranks(self.dataset.num_items, count)
        if not {FULL_UNSEEN, FULL_RETURNABLE}.isdisjoint(protocols):
            rows, items, strongest = strongest_behaviors(self.dataset, questions)
            if FULL_UNSEEN in protocols:
                results[FULL_UNSEEN] = _ranks_without(rows, items, questions, below, count)
            if FULL_RETURNABLE in protocols:
                never = np.isin(strongest, self._never_returns)
                results[FULL_RETURNABLE] = _ranks_without(
                    rows[never], items[never], questions, below, count
                )
        return results


def _below(scores, positives):
    """Marks the items that rank below the positive: those with a lower, finite score.

    Args:
        scores: float [questions, items].
        positives: float [questions], the positives' scores.

    Returns:
        bool [questions, items]; all False where the positive's score is not finite.
    """
    with np.errstate(invalid="ignore"):  # NaN is below nothing
        below = scores < np.where(np.isfinite(positives), positives, -np.inf)[:, None]
        # Among scores below the positive, only -inf is not finite.
        broken = np.flatnonzero(~np.isfinite(scores.min(axis=1)))
    below[broken] &= np.isfinite(scores[broken])
    return below


def _ranks_without(rows, items, questions, below, count):
    """Returns ranks and sizes if some items do not count, `[questions]` each.

    Args:
        rows: int64 [pairs], rows of questions.
        items: int64 [pairs], the items that do not count there, each once.
        questions: the questions. Those whose answer does not count are not asked.
        below: bool [questions, num_items], which items rank below the answer.
        count: int64 [questions], how many they are.
    """
    num_questions, num_items = below.shape
    without = np.bincount(rows, minlength=num_questions)
    without_below = np.bincount(rows[below[rows, items - 1]], minlength=num_questions)
    ranks, sizes = _ranks(num_items - without, count - without_below)
    ranks[rows[items == questions.positives[rows]]] = -1  # not asked
    return ranks, sizes


def _ranks(sizes, below):
    """Returns ranks among `sizes` items including the positive, and sizes, `[questions]` each."""
    return sizes - below - 1, np.broadcast_to(sizes, below.shape)


def _mean(values):
    return float(np.mean(values)) if len(values) else 0.0
