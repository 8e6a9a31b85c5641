"""Why an item is recommended: parts of its score, and the event that speaks most for it."""

import numpy as np
import pytest
from histories import many_histories
from keras import ops
from layer_checks import randomize
from reference_model import assert_close, make_config
from slow_memory import SPEED, at_age, counts_of, fill, numbers_of, shared

from hmar_keras.layers.memory_parts import memory_weights
from hmar_keras.models import MODELS
from hmar_keras.reasons import KINDS, has_reasons, reasons

ROWS, LENGTH, ITEMS = 14, 6, 12
EVERY = np.tile(np.arange(1, ITEMS + 1, dtype="int32"), (ROWS, 1))


def make(name):
    """Returns a model whose memory has the counts of an imagined log; its gate is 0."""
    model = MODELS[name](make_config(model=name, num_items=ITEMS, memory=True))
    randomize(model)
    model.memory.set_weights([np.zeros(w.shape) for w in model.memory.weights])
    model.memory.assign(counts_of(ITEMS))
    return model


@pytest.fixture(scope="module", params=["hmar", "sasrec"])
def model(request):
    """Returns a model all of whose parts of the score matter."""
    model = make(request.param)
    fill(model.memory)
    return model


def histories(seed=0, behaviors=3):
    items, kinds = many_histories(ROWS, LENGTH, ITEMS, behaviors, seed=seed)
    return {"item_ids": items, "behavior_ids": kinds}


def found(model, features, candidates=EVERY):
    """Returns the reasons as a dict of arrays."""
    return {
        n: ops.convert_to_numpy(x) for n, x in vars(reasons(model, features, candidates)).items()
    }


def test_the_parts_add_up_to_the_score(model):
    features = histories()
    told = found(model, features)
    parts = [told[name] for name in ("touched_score", "together", "popularity", "network")]
    scores = ops.convert_to_numpy(model.score_candidates(features, EVERY))
    assert_close(sum(parts), scores, 1e-5)
    assert all(part.std() > 0.05 for part in parts)
    is_touched = (features["item_ids"][:, None] == EVERY[..., None]).any(axis=2)
    np.testing.assert_array_equal(told["touched"], is_touched)
    for part in parts[1:]:
        assert not part[is_touched].any()
    assert not parts[0][~is_touched].any()


def test_events_one_by_one(model):
    features = histories(seed=1)
    told, w = found(model, features), numbers_of(model.memory)
    target = 1  # the answers that are asked for
    checked = 0
    for row, column in np.argwhere(~told["touched"]):
        items, kinds = (features[name][row] for name in ("item_ids", "behavior_ids"))
        expected = np.zeros(LENGTH)
        for place, item in enumerate(items):
            if item and item not in items[place + 1 :]:
                weights = w["by_age"][target, kinds[place] - 1]
                value = shared(w, model.memory, item, EVERY[row, column], ())
                g, h = (at_age(weights[:, n], LENGTH - 1 - place) for n in (1, 2))
                expected[place] = g * value + h * value**0.5
        assert_close(told["by_event"][row, column], expected)
        positive = np.maximum(told["by_event"][row, column], 0)
        place, share = told["events"][row, column], told["shares"][row, column]
        if positive.any():
            assert place == positive.argmax()
            assert share == pytest.approx(positive.max() / positive.sum(), abs=1e-5)
        else:
            assert (place, share) == (-1, 0) and told["kinds"][row, column] != 1
        checked += (expected != 0).sum()
    assert checked > 100
    for row, column in np.argwhere(told["touched"]):
        (places,) = np.nonzero(features["item_ids"][row] == EVERY[row, column])
        assert told["events"][row, column] == places[-1]
        assert (told["kinds"][row, column], told["shares"][row, column]) == (0, 1)
    assert told["touched"].any()


@pytest.mark.parametrize("name", ["hmar", "sasrec"])
def test_the_kind_is_the_part_that_lifts_an_item_most(name):
    model = make(name)
    features = {"item_ids": np.array([[0, 0, 4, 9]]), "behavior_ids": np.array([[0, 0, 1, 3]])}
    every = EVERY[:1]

    def kind_of_best(part):
        told = found(model, features, every)
        best = int(told[part][0].argmax())
        return best + 1, KINDS[told["kinds"][0, best]]

    # At first the network is silent, and popularity hardly counts.
    item, kind = kind_of_best("together")
    assert kind == "together" and item not in (4, 9)
    model.memory.gate.assign(1000.0 / SPEED)
    assert kind_of_best("network")[1] == "network"
    model.memory.gate.assign(0.0)
    model.memory.others.assign(np.array([[0, 0, 0], [0, 1000.0, 0]]) / SPEED)
    assert kind_of_best("popularity")[1] == "popularity"
    assert kind_of_best("touched_score")[1] == "touched"


def test_what_all_items_have_in_common_recommends_none():
    model = make("hmar")
    fill(model.memory)
    features, popularity = histories(), model.memory.popularity
    before = found(model, features)
    popularity.assign(popularity + 100.0)
    after = found(model, features)
    assert np.abs(after["popularity"] - before["popularity"]).max() > 1
    np.testing.assert_array_equal(after["kinds"], before["kinds"])
    assert len(set(before["kinds"].flat)) == 4


def test_padding_and_other_candidates_change_nothing(model):
    features = histories(seed=2)
    is_short = ~features["item_ids"][:, :3].any(axis=1)
    assert is_short.sum() > 3
    shorter = {name: ids[is_short, 3:] for name, ids in features.items()}
    told = found(model, {name: ids[is_short] for name, ids in features.items()}, EVERY[is_short])
    some = found(model, shorter, EVERY[is_short][:, 2:7])
    for name, values in some.items():
        expected = told[name][:, 2:7]
        if name == "by_event":
            expected = expected[..., 3:]
        if name == "events":
            expected = np.where(expected >= 0, expected - 3, -1)
        assert_close(values, expected)


def test_weights_of_the_memory(model):
    told, w, target = memory_weights(model.memory), numbers_of(model.memory), 1
    by_set = w["by_set"].reshape(2, -1, 2)[target]
    assert_close(np.stack([told.sets, told.slopes], axis=-1), by_set)
    for behavior, age in np.ndindex(told.shared.shape):
        weights = w["by_age"][target, behavior]
        assert_close(told.shared[behavior, age], at_age(weights[:, 1], age))
        assert_close(told.root[behavior, age], at_age(weights[:, 2], age))
    assert_close(told.gate, w["gate"])


def test_only_a_model_with_a_memory_has_reasons(model):
    assert has_reasons(model)
    for name in ("hmar", "sasrec"):
        assert not has_reasons(MODELS[name](make_config(model=name)))
