"""Means, deviations and intervals of differences, from the rank of each question's answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from pipelines.evaluation import evaluator as evaluation
from pipelines.evaluation.evaluator import Ranks

METRICS = ("hr@10", "ndcg@10")
_RESAMPLES = 2000
_NUMBERS_AT_ONCE = 1 << 22


def gains(ranks: Ranks, metric: str) -> np.ndarray:
    """Returns the `hr@k` or `ndcg@k` of each question that is asked: float64 [asked]."""
    name, k = metric.split("@")
    return evaluation.gains(ranks.ranks[ranks.ranks >= 0], name, int(k))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean over seeds and the sample standard deviation, 0 for a single seed."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def paired_difference(reference: np.ndarray, other: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Returns how much better the reference is, with a paired-bootstrap interval of 95 %.

    Questions are resampled, each with the metric of both variants. The interval shows how far the
    difference depends on the choice of users, not on the training seeds, over which each question's
    metric is averaged beforehand.

    Args:
        reference: float64 [questions], the metric of each question.
        other: float64 [questions], that of the other variant on the same questions.
        seed: seed of the resampling.

    Returns:
        `difference`, `low` and `high`.
    """
    differences = reference - other
    difference = float(differences.mean()) if len(differences) else 0.0
    if not len(differences) or np.ptp(differences) == 0:
        return {"difference": difference, "low": difference, "high": difference}
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, _NUMBERS_AT_ONCE // len(differences)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return {"difference": difference, "low": float(interval.low), "high": float(interval.high)}


def compare(
    reference: Sequence[Mapping[str, Ranks]], other: Sequence[Mapping[str, Ranks]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Computes the paired differences of two variants under every protocol and metric.

    Args:
        reference: the ranks by protocol, for each seed.
        other: the ranks of the other variant, with the same seeds.

    Returns:
        `differences[protocol][metric]`, as from `paired_difference`, for protocols that all have.
    """
    return {
        protocol: {
            metric: paired_difference(
                *(
                    np.mean([gains(ranks[protocol], metric) for ranks in seeds], axis=0)
                    for seeds in (reference, other)
                )
            )
            for metric in METRICS
        }
        for protocol in reference[0]
        # What an earlier version evaluated lacks the protocols that it did not have.
        if all(protocol in ranks for ranks in (*reference, *other))
    }
