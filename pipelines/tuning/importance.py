"""How much the settings of a search matter for its scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import qmc

from pipelines.tuning.space import Choices, SearchSpace
from pipelines.tuning.trials import Trial

_LEAST = 8  # trials, to fit a forest
_TREES, _POINTS, _STEPS = 200, 512, 17


@dataclasses.dataclass(frozen=True)
class Importance:
    """What a random forest, fitted to the trials, says about the whole space.

    Args:
        shares: by setting, the share of the scores' variance that it explains by itself: the
            variance of its curve divided by the variance over the space. Interactions between
            settings are in none (Hutter et al., ICML 2014, "functional ANOVA").
        curves: by setting, positions 0 to 1 and the mean score with the setting there, over all
            values of the others.
        explained: R² on trials that a tree has not seen: 1 for perfect predictions, 0 or less if
            they are no better than the mean.
    """

    shares: dict[str, float]
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    explained: float


def importance(trials: Sequence[Trial], space: SearchSpace) -> Importance | None:
    """Fits the forest.

    Args:
        trials: completed trials.
        space: the searched settings.

    Returns:
        the importance; None if there are too few trials or all scores are equal.
    """
    scores = np.array([trial.score for trial in trials])
    if len(trials) < _LEAST or np.ptp(scores) == 0:
        return None
    from sklearn.ensemble import RandomForestRegressor  # slow to import

    # Out of bag: every tree leaves out about a third of the trials.
    forest = RandomForestRegressor(_TREES, oob_score=True, random_state=0)
    forest.fit(places(trials, space), scores)
    # Sobol points: even and hardly correlated, because any randomness would show in the shares.
    points = qmc.Sobol(len(space.entries), rng=0).random(_POINTS)
    for column, entry in enumerate(space.entries.values()):
        points[:, column] = _rounded(entry, points[:, column])
    total = forest.predict(points).var()
    curves = {
        name: _curve(forest, points, column, entry)
        for column, (name, entry) in enumerate(space.entries.items())
    }
    shares = {name: float(means.var() / total) for name, (_, means) in curves.items()}
    return Importance(shares, curves, float(forest.oob_score_))


def places(trials: Sequence[Trial], space: SearchSpace) -> np.ndarray:
    """Returns the positions of values in their ranges, 0 to 1: float [trials, settings]."""
    return np.array(
        [
            [entry.place(trial.values[name]) for name, entry in space.entries.items()]
            for trial in trials
        ]
    )


def _curve(forest, points, column, entry):
    grid = np.unique(_rounded(entry, (np.arange(_STEPS) + 0.5) / _STEPS))
    repeated = np.tile(points, (len(grid), 1))
    repeated[:, column] = np.repeat(grid, len(points))
    return grid, forest.predict(repeated).reshape(len(grid), -1).mean(axis=1)


def _rounded(entry, numbers):
    """Rounds positions to those of choices, all equally frequent; ranges are left alone."""
    if not isinstance(entry, Choices):
        return numbers
    last = len(entry.choices) - 1
    return np.minimum((numbers * (last + 1)).astype(int), last) / max(1, last)
