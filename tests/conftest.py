"""Runs only the quick tests, unless `-m` or a node id selects others."""

import pytest

# Slow fixtures: every test that uses one gets its marker.
EXPENSIVE = {"fresh_hmar": "process"}
EXPENSIVE |= dict.fromkeys(("exports", "hostile", "trained", "without_behaviors"), "slow")


def pytest_configure(config):
    """Runs a test that is named by its node id, whatever its markers."""
    is_asked = "-m" in config.invocation_params.args
    if not is_asked and any("::" in argument for argument in config.args):
        config.option.markexpr = ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Adds the markers of expensive fixtures to the tests that use them."""
    items[:] = [item for item in items if item.name != "test_session"]  # a TensorFlow helper
    for item in items:
        for fixture in set(EXPENSIVE) & set(getattr(item, "fixturenames", ())):
            item.add_marker(EXPENSIVE[fixture])
