"""What the settings of a search have to do with its scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import qmc

from pipelines.tuning.space import Choices, SearchSpace
from pipelines.tuning.trials import Trial

_LEAST = 8  # trials, to say anything at all
_TREES, _POINTS, _STEPS = 200, 512, 17


@dataclasses.dataclass(frozen=True)
class Importance:
    """What a random forest, fitted to the trials, says of the whole space.

    Args:
        shares: by setting, how much of the differences between scores it makes by itself: the
            variance of its curve, divided by the variance over the space. What settings make
            together is in none (Hutter et al., ICML 2014, "functional ANOVA").
        curves: by setting, places 0 to 1 and the mean score with the setting there, over all
            values of the others.
        explained: how much of the differences between trials that a tree has not seen it
            foretells, 1 for all; 0 or less if no more than their mean does.
    """

    shares: dict[str, float]
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    explained: float


def importance(trials: Sequence[Trial], space: SearchSpace) -> Importance | None:
    """Fits the forest.

    Args:
        trials: completed ones.
        space: what they changed.

    Returns:
        None where there are too few trials, or all are equally good.
    """
    scores = np.array([trial.score for trial in trials])
    if len(trials) < _LEAST or np.ptp(scores) == 0:
        return None
    from sklearn.ensemble import RandomForestRegressor  # slow to import

    # Out of bag: every tree leaves out about a third of the trials.
    forest = RandomForestRegressor(_TREES, oob_score=True, random_state=0)
    forest.fit(places(trials, space), scores)
    # Evenly, and hardly correlated: chance in them would be in the shares.
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
    """float [trials, settings]: where each trial's values stand in their ranges, 0 to 1."""
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
    """Choices have no places between them; all are as frequent."""
    if not isinstance(entry, Choices):
        return numbers
    last = len(entry.choices) - 1
    return np.minimum((numbers * (last + 1)).astype(int), last) / max(1, last)
