import numpy as np
import pytest
import reference
from histories import many_candidates, many_histories
from keras import ops
from layer_checks import run_layer_test
from reference_model import assert_close, load_neighbors

from hmar_keras.layers import ItemNeighbors

ITEMS, BEHAVIORS, LENGTH = 9, 3, 5


def weights_of(num_neighbors, seed=0):
    weights = reference.random_weights(
        np.random.default_rng(seed), ITEMS, BEHAVIORS, 1, 1, 1, 1, "none", neighbors=num_neighbors
    )
    return weights["neighbors"]


def make(num_neighbors, seed=0):
    layer = ItemNeighbors(ITEMS, num_neighbors, BEHAVIORS)
    layer.build((None, None))
    load_neighbors(layer, weights := weights_of(num_neighbors, seed))
    return layer, weights


def random_inputs(seed=0, batch=4, steps=3, width=4):
    rng = np.random.default_rng(seed)
    items = rng.integers(1, ITEMS + 1, (batch, LENGTH))
    behaviors = rng.integers(1, BEHAVIORS + 1, (batch, LENGTH))
    items[0, :3] = behaviors[0, :3] = items[1] = behaviors[1] = 0
    asked = rng.integers(0, ITEMS + 1, (batch, steps, width))
    negatives = rng.integers(0, ITEMS + 1, (batch, 6))
    return tuple(x.astype("int32") for x in (items, behaviors, asked, negatives))


def test_layer(tmp_path):
    kwargs = {"num_items": ITEMS, "num_neighbors": 4, "num_behaviors": BEHAVIORS}
    inputs = random_inputs()
    run_layer_test(ItemNeighbors, kwargs, inputs[:3], tmp_path, float32_output=True)
    run_layer_test(ItemNeighbors, kwargs, inputs, tmp_path, float32_output=True)


# From one neighbour to the maximum, because the binary search depends on the number.
@pytest.mark.parametrize("num_neighbors", range(1, ITEMS))
def test_scores_event_by_event(num_neighbors):
    layer, weights = make(num_neighbors)
    items, behaviors, asked, negatives = random_inputs()
    scores = ops.convert_to_numpy(layer(items, behaviors, asked, negatives))
    rows, steps, width = asked.shape
    assert scores.shape == (rows, steps, width + negatives.shape[1])
    for row, step in np.ndindex(rows, steps):
        t = LENGTH - steps + step
        expected = [
            reference.neighbor_score(items[row], behaviors[row], t, candidate, weights)
            for candidate in [*asked[row, step], *negatives[row]]
        ]
        assert_close(scores[row, step], expected)


@pytest.mark.parametrize("num_neighbors", range(1, ITEMS))
def test_candidates_get_what_the_catalogue_gets(num_neighbors):
    layer, _ = make(num_neighbors, seed=num_neighbors)
    histories, asked = (
        many_histories(20, LENGTH, ITEMS, BEHAVIORS),
        many_candidates(20, 2, 3, ITEMS),
    )
    scores = ops.convert_to_numpy(layer(*histories, asked))
    found = zip(*map(ops.convert_to_numpy, layer.catalog_gains(*histories)), strict=True)
    for row, (ids, gains) in enumerate(found):
        catalog = np.zeros(ITEMS + 1)
        np.add.at(catalog, ids, gains)
        assert catalog[0] == 0
        assert_close(scores[row, -1], catalog[asked[row, -1]])


def test_in_training_the_users_own_share_of_the_answer_is_off():
    """Only where the answer is a neighbour; other candidates keep their scores."""
    layer, weights = make(3)
    for alike in weights["alike"]:
        alike.update({neighbor: abs(w) for neighbor, w in alike.items()})
    load_neighbors(layer, weights)
    items, behaviors, asked, negatives = random_inputs(1)
    usual = ops.convert_to_numpy(layer(items, behaviors, asked, negatives))
    trained = ops.convert_to_numpy(layer(items, behaviors, asked, negatives, training=True))
    np.testing.assert_array_equal(trained[..., 1:], usual[..., 1:])
    off = 0
    for row, step in np.ndindex(*asked.shape[:2]):
        t = LENGTH - asked.shape[1] + step
        expected = reference.own_share(items[row], behaviors[row], t, asked[row, step, 0], weights)
        off += expected != 0
        assert_close(usual[row, step, 0] - trained[row, step, 0], expected)
    assert off > 1


def test_the_similarities_are_not_learned():
    layer, _ = make(2)
    assert [weight.name for weight in layer.trainable_weights] == ["gain"]


def test_neighbours_may_be_given_in_any_order():
    items, behaviors, asked, _ = random_inputs()
    one, weights = make(3)
    other, _ = make(3)
    backwards = [dict(reversed(alike.items())) for alike in weights["alike"]]
    load_neighbors(other, {**weights, "alike": backwards})
    np.testing.assert_array_equal(
        ops.convert_to_numpy(one(items, behaviors, asked)),
        ops.convert_to_numpy(other(items, behaviors, asked)),
    )
