"""Fixtures for the tests of searches."""

import functools

import pytest
import scipy.optimize


@pytest.fixture
def hasty_bayesian(monkeypatch):
    """Limits a Bayesian oracle to one step from each of its 50 starting points per trial."""
    minimize = functools.partial(scipy.optimize.minimize, options={"maxiter": 1})
    monkeypatch.setattr(scipy.optimize, "minimize", minimize)
