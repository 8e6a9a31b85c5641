"""One user's history, followed through the model."""

import numpy as np
import pytest

from pipelines.report.one_user import newest_attention


def features(items, behaviors):
    return {"item_ids": items[None], "behavior_ids": behaviors[None]}


def test_attention_of_the_newest_event(opened):
    items = np.array([5, 7, 5, 9, 1], np.int32)
    behaviors = np.array([1, 2, 1, 1, 2], np.int32)
    encoders = newest_attention(opened, features(items, behaviors))
    assert [encoder.title for encoder in encoders] == [
        *("behaviour encoders, block 1", "behaviour encoders, block 2", "sequence encoder"),
    ]
    for encoder in encoders[:2]:  # one encoder per behaviour
        for behavior in (1, 2):
            assert encoder.weights[behaviors == behavior].sum() == pytest.approx(1, abs=1e-5)
    assert encoders[2].weights.sum() == pytest.approx(1, abs=1e-5)
    # Padding on the left changes nothing.
    padded = newest_attention(opened, features(*(np.pad(x, (2, 0)) for x in (items, behaviors))))[2]
    np.testing.assert_allclose(padded.weights[2:], encoders[2].weights, atol=1e-5)
