"""The importance of settings against closed forms."""

import numpy as np
import pytest

from hmar_keras.schema import Behaviors
from pipelines.training.run_config import RunConfig
from pipelines.tuning.importance import importance, places
from pipelines.tuning.space import Choices, Range, SearchSpace
from pipelines.tuning.trials import Trial

SPACE = SearchSpace(
    RunConfig.of(100, Behaviors(("view", "buy"), target="buy")),
    {
        "theta": Range(0.01, 1.0, log=True),
        "dropout": Range(0.0, 0.5),
        "batch_size": Choices((32, 64, 128, 256)),
    },
)


def trials_of(score, count, seed=0):
    """Returns trials at random places, with scores that are a function of the place."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        values = {
            "theta": 0.01 * 100 ** rng.random(),
            "dropout": 0.5 * rng.random(),
            "batch_size": int(rng.choice([32, 64, 128, 256])),
        }
        trial = Trial(str(number), "completed", values, None, None, [], "", None)
        at = places([trial], SPACE)[0]
        found.append(Trial(str(number), "completed", values, score(*at), None, [], "", None))
    return found


def test_places_are_where_values_stand_in_their_ranges():
    values = {"theta": 0.1, "dropout": 0.125, "batch_size": 128}
    trial = Trial("0", "completed", values, 0.0, None, [], "", None)
    np.testing.assert_allclose(places([trial], SPACE), [[0.5, 0.25, 2 / 3]])
    assert SPACE.entries["theta"].ticks() == pytest.approx({0: 0.01, 0.5: 0.1, 1: 1.0})
    assert SPACE.entries["batch_size"].ticks() == pytest.approx(
        {0: 32, 1 / 3: 64, 2 / 3: 128, 1: 256}
    )


def test_shares_of_a_sum_are_those_of_its_parts():
    """3 x + 4 c, with x in [0, 1] and c in four steps, has variances 9 / 12 and 16 * 5 / 36."""
    found = importance(trials_of(lambda x, _, c: 3 * x + 4 * c, 800), SPACE)
    variances = np.array([9 / 12, 0, 16 * 5 / 36])
    expected = variances / variances.sum()
    np.testing.assert_allclose(list(found.shares.values()), expected, atol=0.02)
    assert sum(found.shares.values()) == pytest.approx(1, abs=0.01)
    assert found.explained > 0.97
    at, means = found.curves["batch_size"]
    np.testing.assert_allclose(at, [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(means, 1.5 + 4 * at, atol=0.15)


def test_what_settings_make_only_together_is_in_no_share():
    """(x - 1/2)(y - 1/2) has no main effects at all."""
    found = importance(trials_of(lambda x, y, _: (x - 0.5) * (y - 0.5), 800), SPACE)
    assert sum(found.shares.values()) < 0.05
    assert found.explained > 0.9


@pytest.mark.parametrize("score", [lambda x: x, lambda x: (2 * x - 1) ** 2])
def test_the_only_setting_makes_all_of_it(score):
    space = SearchSpace(SPACE.base, {"theta": SPACE.entries["theta"]})
    trials = trials_of(lambda x, *_: score(x), 300)
    assert importance(trials, space).shares["theta"] == pytest.approx(1, abs=0.02)


def test_noise_is_not_explained():
    rng = np.random.default_rng(3)
    assert importance(trials_of(lambda *_: rng.random(), 60), SPACE).explained < 0.1


def test_little_says_nothing():
    assert importance(trials_of(lambda x, *_: x, 7), SPACE) is None
    assert importance(trials_of(lambda *_: 1.0, 20), SPACE) is None
