"""Models with a memory of the log, which scores touched items alone, others with the network."""

import keras
import numpy as np
import pytest
from histories import many_histories
from keras import ops
from layer_checks import randomize
from reference_model import assert_close, call, make_config, random_batch
from slow_memory import SPEED, fill

from hmar_keras.layers.log_memory import HIDDEN
from hmar_keras.models import MODELS
from hmar_keras.schema import MEMORY_INPUTS

ROWS, LENGTH, ITEMS, DRAWN, SESSIONS = 24, 6, 9, 4, 3
MODEL_SETTINGS = {
    "hmar": {"model": "hmar"},
    "hmar, release": {"model": "hmar", "variant": "release", "num_behavior_blocks": 2},
    "hmar, without indicators": {"model": "hmar", "indicators": False},
    "sasrec": {"model": "sasrec"},
}


@pytest.fixture(scope="module", params=MODEL_SETTINGS.values(), ids=list(MODEL_SETTINGS))
def model(request):
    """Returns a model with random weights, and counts in its memory."""
    config = make_config(**request.param, num_items=ITEMS, memory=True)
    model = MODELS[request.param["model"]](config)
    randomize(model)
    fill(model.memory)
    assert abs(SPEED * ops.convert_to_numpy(model.memory.gate)) > 0.1
    return model


def without_memory(model):
    """Returns the same network, with the same weights, without a memory."""
    plain = type(model)(model.config.replace(memory=False, shared_negatives=False))
    remembers = {weight.path for weight in model.memory.weights}
    kept = [weight for weight in model.weights if weight.path not in remembers]
    for weight, other in zip(plain.weights, kept, strict=True):
        weight.assign(other)
    return plain


def training_batch(seed=0):
    """Returns the inputs of a training step; the first negatives are the history."""
    rng = np.random.default_rng(seed)
    items, behaviors = many_histories(ROWS, LENGTH + 1, ITEMS - 2, 3, seed=seed)
    shares = rng.choice([0.0, 0.3, 0.5], (ROWS, LENGTH + 1, SESSIONS)).astype("float32")
    drawn = rng.integers(ITEMS - 1, ITEMS + 1, (ROWS, DRAWN), "int32")  # in no history
    return {
        "item_ids": items[:, :-1],
        "behavior_ids": behaviors[:, :-1],
        "candidate_ids": items[:, 1:, None],
        "negative_ids": np.concatenate([items[:, :-1], drawn], axis=1),
        "answer_behaviors": behaviors[:, 1:],
        "own_shares": shares[:, :-1],
        "answer_shares": shares[:, 1:],
    }


def test_it_reads_behaviours_and_what_a_memory_reads(model):
    assert model.features == ("item_ids", "behavior_ids")
    asked = {"candidate_ids", "negative_ids", *MEMORY_INPUTS}
    assert set(model.input) == {*model.features, *asked}
    assert without_memory(model).memory is None


def test_in_training_it_is_the_memory_plus_a_share_of_the_network(model):
    batch = training_batch()
    every = np.broadcast_to(batch["negative_ids"][:, None], (ROWS, LENGTH, LENGTH + DRAWN))
    candidates = np.concatenate([batch["candidate_ids"], every], axis=-1)
    network = call(without_memory(model), {**batch, "candidate_ids": candidates})["ranking"]
    names = ("item_ids", "behavior_ids", "answer_behaviors", "candidate_ids", "negative_ids")
    inputs = [ops.convert_to_tensor(batch[name]) for name in (*names, *MEMORY_INPUTS[1:])]
    alone = ops.convert_to_numpy(model.memory(ops.zeros_like(network), *inputs))
    gate = SPEED * ops.convert_to_numpy(model.memory.gate)
    scores = call(model, batch)["ranking"]
    is_asked = alone > HIDDEN / 2
    np.testing.assert_array_equal(scores > HIDDEN / 2, is_asked)
    # Padding has no state, and nothing is trained there.
    is_event = np.broadcast_to(batch["item_ids"][..., None] > 0, alone.shape)
    checked = is_asked & is_event
    so_far = np.tril(np.ones((LENGTH, LENGTH), bool))[None, :, None]
    same = candidates[..., None] == batch["item_ids"][:, None, None]
    touched = (same & so_far).any(axis=-1)
    share = np.where(touched, 0, gate * network)
    assert_close(scores[checked], (share + alone)[checked])
    assert (checked & touched).sum() > 100 and np.abs(share[checked]).max() > 0.03


def test_the_network_also_has_an_output_of_its_own(model):
    """Its scores as without a memory, of the answer and of the items that were drawn."""
    batch = training_batch()
    drawn = np.broadcast_to(batch["negative_ids"][:, None, LENGTH:], (ROWS, LENGTH, DRAWN))
    candidates = np.concatenate([batch["candidate_ids"], drawn], axis=-1)
    alone = call(without_memory(model), {**batch, "candidate_ids": candidates})["ranking"]
    assert_close(call(model, batch)["network"], alone)
    assert alone.std() > 0.03


def test_before_training_the_network_learns_although_it_adds_nothing(model):
    """Its own loss has a gradient while the gate is 0, and leaves the memory alone."""
    batch = {name: ops.convert_to_tensor(values) for name, values in training_batch().items()}
    labels = ops.convert_to_tensor(training_batch()["answer_behaviors"])
    other = type(model)(model.config)
    randomize(other)
    other.memory.gate.assign(0.0)
    losses = {name: each.loss for name, each in other.objective().outputs.items()}
    table = other.item_table.embeddings

    def loss_after(step, name):
        table.assign_add(step)
        value = float(losses[name](labels, other(batch)[name]))
        table.assign_sub(step)
        return value

    step = 0.1 * np.random.default_rng(0).standard_normal(table.shape).astype("float32")
    assert abs(loss_after(step, "network") - loss_after(0 * step, "network")) > 1e-3
    assert loss_after(step, "ranking") == loss_after(0 * step, "ranking")
    before = float(losses["network"](labels, other(batch)["network"]))
    fill(other.memory)
    assert float(losses["network"](labels, other(batch)["network"])) == before


def test_three_ways_to_score_agree(model):
    """A call, `score_candidates` and `score_catalog`."""
    batch = random_batch(np.random.default_rng(1), model.config, batch=12)
    history = {name: batch[name] for name in model.features}
    catalog = ops.convert_to_numpy(model.score_catalog(history))[:, 1:]
    every = np.tile(np.arange(1, ITEMS + 1, dtype="int32"), (len(catalog), 1))
    assert_close(ops.convert_to_numpy(model.score_candidates(history, every)), catalog)
    at_every_step = np.broadcast_to(every[:, None], (len(every), LENGTH, ITEMS))
    called = call(model, {**history, "candidate_ids": at_every_step})["ranking"]
    assert_close(called[:, -1], catalog)
    assert catalog.std() > 0.1


def test_later_events_change_nothing(model):
    batch, other = training_batch(), training_batch(seed=1)
    before = call(model, batch)["ranking"]
    for t in range(LENGTH - 1):
        is_later = np.arange(LENGTH) > t
        edited = {**batch}
        for name in ("item_ids", "behavior_ids"):
            # As many events as before, so that padding stays on the left.
            new = np.where(batch[name] > 0, np.maximum(other[name], 1), 0)
            edited[name] = np.where(is_later, new, batch[name])
        for name in ("candidate_ids", "answer_behaviors", "own_shares", "answer_shares"):
            later = is_later.reshape(1, -1, *[1] * (batch[name].ndim - 2))
            edited[name] = np.where(later, other[name], batch[name])
        drawn = batch["negative_ids"][:, LENGTH:]
        edited["negative_ids"] = np.concatenate([edited["item_ids"], drawn], axis=1)
        after = call(model, edited)["ranking"]
        assert_close(after[:, : t + 1], before[:, : t + 1], 1e-6)


def test_a_saved_model_keeps_its_memory(model, tmp_path):
    batch = training_batch()
    expected = call(model, batch)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    refilled = type(model)(model.config)
    refilled.load_weights(tmp_path / "model.weights.h5")
    for other in (loaded, refilled):
        assert other.config == model.config and other.features == model.features
        for weight, same in zip(other.memory.weights, model.memory.weights, strict=True):
            np.testing.assert_array_equal(*(ops.convert_to_numpy(x) for x in (weight, same)))
        for name, value in call(other, batch).items():
            np.testing.assert_array_equal(value, expected[name])
