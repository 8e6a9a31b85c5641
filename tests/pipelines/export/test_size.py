"""The size of an export: nothing is stored twice."""

import numpy as np
import pytest

from hmar_keras.models import HMAR, HMARConfig
from pipelines.export import export

pytestmark = pytest.mark.slow


def test_the_graph_holds_no_weights(log, tmp_path):
    """A captured embedding would be a constant in the graph and grow with the catalogue."""
    sizes = []
    for num_items in (log.num_items, 20_000):
        model = HMAR(HMARConfig(num_items, log.behaviors, dim=8, max_length=6))
        items = np.arange(num_items).astype(str)
        version = export(model, items, np.zeros(num_items + 1), tmp_path / f"m{num_items}", {})
        sizes.append((version / "saved_model.pb").stat().st_size)
    assert sizes[1] < sizes[0] + 10_000


def test_an_export_is_little_more_than_weights_and_names(tmp_path, log):
    items = np.array([f"item-{number}" for number in range(100_000)])
    config = HMARConfig(len(items), log.behaviors, dim=64, max_length=50)
    model = HMAR(config)
    version = export(model, items, np.zeros(len(items) + 1), tmp_path / "large", {})
    size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    weights = sum(4 * int(np.prod(weight.shape)) for weight in model.weights)
    names = (version / "assets" / "items.txt").stat().st_size
    assert size <= 1.1 * (weights + names)
