import numpy as np
import pytest
from keras import ops
from layer_checks import run_layer_test
from reference_model import assert_close

from hmar_keras.layers import RankingHead

rng = np.random.default_rng(0)
STATES = rng.normal(size=(2, 5, 4)).astype("float32")
CANDIDATES = rng.normal(size=(2, 5, 3, 4)).astype("float32")


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_scores_belong_to_the_last_steps(steps):
    candidates = CANDIDATES[:, :steps]
    scores = ops.convert_to_numpy(RankingHead()(STATES, candidates))
    assert scores.shape == (2, steps, 3)
    for row, step, column in np.ndindex(scores.shape):
        expected = STATES[row, 5 - steps + step] @ candidates[row, step, column]
        assert_close(scores[row, step, column], expected)


def test_layer(tmp_path):
    inputs = (STATES, CANDIDATES[:, :2])
    run_layer_test(RankingHead, {"name": "ranking"}, inputs, tmp_path, float32_output=True)
