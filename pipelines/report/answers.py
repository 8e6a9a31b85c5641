"""How scorers answered the questions, in numbers with intervals and in groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from pipelines.evaluation.baselines import baselines
from pipelines.evaluation.evaluator import CUTOFFS, PROTOCOLS, Evaluator, Ranks, gains, model_scorer
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
    """How every scorer answered every question of one part.

    Args:
        questions: validation or test.
        ranks: `ranks[scorer][protocol]`; the first scorer is the model.
        seen: bool [questions], whether the answer stands in the history.
        lengths: int64 [questions], events of the history.
        seed: of the intervals.
    """

    questions: EvaluationSet
    ranks: Mapping[str, Mapping[str, Ranks]]
    seen: np.ndarray
    lengths: np.ndarray
    seed: int

    @property
    def scorers(self) -> list[str]:
        """Their names."""
        return list(self.ranks)

    @property
    def model(self) -> str:
        """The first scorer."""
        return self.scorers[0]

    @property
    def protocols(self) -> list[str]:
        """Those that asked at least one question."""
        return [name for name in self.ranks[self.model] if self.asked(name).any()]

    def asked(self, protocol: str) -> np.ndarray:
        """bool [questions]: which ones the protocol asks."""
        return self.ranks[self.model][protocol].ranks >= 0

    def candidates(self, protocol: str) -> float:
        """Among how many items the answer was asked, on average."""
        return float(self.ranks[self.model][protocol].sizes[self.asked(protocol)].mean())

    def curve(self, scorer: str, protocol: str, metric: str) -> np.ndarray:
        """float [MOST_CUTOFF]: the metric at the cut-offs 1, 2, ..."""
        ranks = self.ranks[scorer][protocol].ranks[self.asked(protocol)]
        cutoffs = range(1, MOST_CUTOFF + 1)
        return np.array([gains(ranks, metric, cutoff).mean() for cutoff in cutoffs])

    def estimates(self, protocol: str, where: np.ndarray | None = None) -> Estimates:
        """All metrics of all scorers, over some of the questions that the protocol asks.

        Args:
            protocol: one of `protocols`.
            where: bool [questions]; None for all.
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
    """Means over questions and their intervals, by percentile bootstrap over the questions.

    All columns are resampled together, so that differences are paired.

    Args:
        keys: (scorer, metric) of every column.
        values: float [questions, columns].
        seed: of the resampling.
    """

    def __init__(self, keys: list[tuple[str, str]], values: np.ndarray, seed: int):
        self.questions = len(values)
        self._columns = {key: column for column, key in enumerate(keys)}
        self._means = values.mean(axis=0) if len(values) else np.full(len(keys), np.nan)
        self._resampled = bootstrap_means(values, seed)

    def of(self, scorer: str, metric: str) -> Estimate:
        """One number, e.g. of `hr@10`."""
        column = self._columns[scorer, metric]
        return _estimate(self._means[column], self._resampled[:, column])

    def difference(self, scorer: str, other: str, metric: str) -> Estimate:
        """By how much one scorer is above another."""
        first, second = self._columns[scorer, metric], self._columns[other, metric]
        resampled = self._resampled[:, first] - self._resampled[:, second]
        return _estimate(self._means[first] - self._means[second], resampled)

    def best(self, scorers: list[str], metric: str) -> str:
        """The scorer with the highest mean, the first of equals."""
        return max(scorers, key=lambda scorer: self._means[self._columns[scorer, metric]])


def bootstrap_means(values: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Means over rows drawn with replacement: `[rows, columns]` to `[resamples, columns]`."""
    count = len(values)
    means = np.full((resamples, values.shape[1]), np.nan)
    rng = np.random.default_rng(seed)
    for resample in range(resamples if count else 0):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        means[resample] = drawn @ values / count
    return means


def answer_all(run: OpenedRun) -> dict[str, Answers]:
    """Asks the model and the baselines the questions of `validation` and `test`."""
    scorers = {run.model_name: model_scorer(run.model, run.dataset), **baselines(run.splits)}
    parts = {"validation": run.splits.validation, "test": run.splits.test}
    answers = {}
    for part, questions in parts.items():
        evaluator = Evaluator(run.dataset, questions, run.seed)
        ranks = {name: evaluator.ranks(scorer, PROTOCOLS) for name, scorer in scorers.items()}
        rows, items = history_items(run.dataset, questions)
        seen = np.zeros(len(questions), bool)
        seen[rows[items == questions.positives[rows]]] = True
        lengths = questions.ends - questions.starts
        answers[part] = Answers(questions, ranks, seen, lengths, run.seed)
    return answers


def length_groups(lengths: np.ndarray) -> dict[str, np.ndarray]:
    """About equally large groups of questions by the length of their histories.

    Args:
        lengths: int [questions].

    Returns:
        bool [questions] by name, e.g. `"12–30"`; fewer groups where many lengths are equal.
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
