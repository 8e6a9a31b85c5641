"""What the tests of searches share."""

import functools

import pytest
import scipy.optimize


@pytest.fixture
def hasty_bayesian(monkeypatch):
    """One step for each of the 50 points from which a Bayesian oracle looks for its next trial."""
    minimize = functools.partial(scipy.optimize.minimize, options={"maxiter": 1})
    monkeypatch.setattr(scipy.optimize, "minimize", minimize)
