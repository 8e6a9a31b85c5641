"""Which tests run: the quick ones, unless `-m` or a test's own name asks for others."""

import pytest

# Fixtures that take so long that every test with them belongs to a marker.
EXPENSIVE = {"fresh_hmar": "process"}
EXPENSIVE |= dict.fromkeys(("exports", "without_behaviors", "hostile"), "slow")


def pytest_configure(config):
    """Runs what a node id names, whatever its markers."""
    is_asked = "-m" in config.invocation_params.args
    if not is_asked and any("::" in argument for argument in config.args):
        config.option.markexpr = ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks the tests that use an expensive fixture."""
    items[:] = [item for item in items if item.name != "test_session"]  # a helper of TensorFlow's
    for item in items:
        for fixture in set(EXPENSIVE) & set(getattr(item, "fixturenames", ())):
            item.add_marker(EXPENSIVE[fixture])
