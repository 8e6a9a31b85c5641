"""How scorers answered the questions: metrics with intervals, and groups of questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from pipelines.evaluation.baselines import baselines
from pipelines.evaluation.evaluator import CUTOFFS, Evaluator, Ranks, gains, model_scorer
from pipelines.protocol.log_traits import never_returning
from pipelines.protocol.questions import history_items
from pipelines.protocol.splits import EvaluationSet
from pipelines.report.opened_run import OpenedRun

METRICS = ("hr", "ndcg")
RESAMPLES = 1000
MOST_CUTOFF = 50
_GROUPS = 4


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Answers:
    """How every scorer answered the questions of one part.

    Args:
        questions: the validation or the test questions.
        ranks: `ranks[scorer][protocol]`; the first scorer is the model.
        seen: bool [questions], whether the answer occurs in the history.
        lengths: int64 [questions], events in the history.
        seed: seed of the intervals.
    """

    questions: EvaluationSet
    ranks: Mapping[str, Mapping[str, Ranks]]
    seen: np.ndarray
    lengths: np.ndarray
    seed: int

    @property
    def scorers(self) -> list[str]:
        """Names of the scorers."""
        return list(self.ranks)

    @property
    def model(self) -> str:
        """Name of the first scorer, the model."""
        return self.scorers[0]

    @property
    def protocols(self) -> list[str]:
        """The protocols that ask at least one question."""
        return [name for name in self.ranks[self.model] if self.asked(name).any()]

    def asked(self, protocol: str) -> np.ndarray:
        """Returns which questions the protocol asks: bool [questions]."""
        return self.ranks[self.model][protocol].ranks >= 0

    def candidates(self, protocol: str) -> float:
        """Returns the mean number of candidates per question, including the answer."""
        return float(self.ranks[self.model][protocol].sizes[self.asked(protocol)].mean())

    def curve(self, scorer: str, protocol: str, metric: str) -> np.ndarray:
        """Computes the metric at the cut-offs 1, 2, ...: float [MOST_CUTOFF]."""
        ranks = self.ranks[scorer][protocol].ranks[self.asked(protocol)]
        cutoffs = range(1, MOST_CUTOFF + 1)
        return np.array([gains(ranks, metric, cutoff).mean() for cutoff in cutoffs])

    def estimates(self, protocol: str, where: np.ndarray | None = None) -> Estimates:
        """Estimates all metrics of all scorers over the protocol's questions, or some of them.

        Args:
            protocol: one of `protocols`.
            where: bool [questions], which questions to use; None for all.
        """
        chosen = self.asked(protocol) if where is None else self.asked(protocol) & where
        keys = [(s, f"{m}@{k}") for s in self.scorers for m in METRICS for k in CUTOFFS]
        columns = []
        for scorer, name in keys:
            metric, cutoff = name.split("@")
            ranks = self.ranks[scorer][protocol].ranks[chosen]
            columns.append(gains(ranks, metric, int(cutoff)))
        return Estimates(keys, np.stack(columns, axis=1), self.seed)


class Estimates:
    """Means over questions, with percentile-bootstrap intervals.

    All columns are resampled together, so that differences are paired.

    Args:
        keys: (scorer, metric) of each column.
        values: float [questions, columns].
        seed: seed of the resampling.
    """

    def __init__(self, keys: list[tuple[str, str]], values: np.ndarray, seed: int):
        self.questions = len(values)
        self._columns = {key: column for column, key in enumerate(keys)}
        self._means = values.mean(axis=0) if len(values) else np.full(len(keys), np.nan)
        self._resampled = bootstrap_means(values, seed)

    def of(self, scorer: str, metric: str) -> Estimate:
        """Returns the estimate of one metric, e.g. `hr@10`."""
        column = self._columns[scorer, metric]
        return _estimate(self._means[column], self._resampled[:, column])

    def difference(self, scorer: str, other: str, metric: str) -> Estimate:
        """Estimates the lead of one scorer over another."""
        first, second = self._columns[scorer, metric], self._columns[other, metric]
        resampled = self._resampled[:, first] - self._resampled[:, second]
        return _estimate(self._means[first] - self._means[second], resampled)

    def best(self, scorers: list[str], metric: str) -> str:
        """Returns the scorer with the highest mean; on a tie, the first."""
        return max(scorers, key=lambda scorer: self._means[self._columns[scorer, metric]])


def bootstrap_means(values: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Computes means of resampled rows: `[rows, columns]` to `[resamples, columns]`."""
    count = len(values)
    means = np.full((resamples, values.shape[1]), np.nan)
    rng = np.random.default_rng(seed)
    for resample in range(resamples if count else 0):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        means[resample] = drawn @ values / count
    return means


def answer_all(run: OpenedRun) -> dict[str, Answers]:
    """Evaluates the model and the baselines on the validation and the test questions."""
    scorers = {run.model_name: model_scorer(run.model, run.dataset), **baselines(run.splits)}
    parts = {"validation": run.splits.validation, "test": run.splits.test}
    answers, never = {}, never_returning(run.splits)
    for part, questions in parts.items():
        evaluator = Evaluator(run.dataset, questions, run.seed, never_returns=never)
        ranks = {name: evaluator.ranks(scorer) for name, scorer in scorers.items()}
        rows, items = history_items(run.dataset, questions)
        seen = np.zeros(len(questions), bool)
        seen[rows[items == questions.positives[rows]]] = True
        lengths = questions.ends - questions.starts
        answers[part] = Answers(questions, ranks, seen, lengths, run.seed)
    return answers


def length_groups(lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Splits questions into groups of about equal size by the length of their histories.

    Args:
        lengths: int [questions].

    Returns:
        bool [questions] by name, e.g. `"12–30"`; fewer groups if many lengths are equal.
    """
    inner = np.quantile(lengths, np.arange(1, _GROUPS) / _GROUPS, method="higher")
    starts = np.unique([lengths.min(), *(inner + 1)])
    starts = starts[starts <= lengths.max()]
    groups = {}
    for start, end in zip(starts, [*starts[1:], lengths.max() + 1], strict=True):
        name = f"{start}" if end - start == 1 else f"{start}–{end - 1}"
        groups[name] = (lengths >= start) & (lengths < end)
    return groups


def _estimate(mean, resampled):
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(float(mean), float(low), float(high))
