"""The model's outputs equal the reference's and have the expected properties."""

import functools
import itertools

import keras
import numpy as np
import pytest
from histories import many_candidates, many_histories
from keras import ops
from reference_model import (
    assert_close,
    call,
    call_reference,
    load_reference_weights,
    make_config,
    make_pair,
    random_batch,
    random_histories,
)

from hmar_keras import HMAR, HMARBackbone, HMARConfig
from hmar_keras.layers import ItemTable
from hmar_keras.models.sequential_recommender import LOWEST_SCORE

LENGTH, ROWS = 6, 60
OPTIONS = {
    "num_heads": [1, 2],
    "blocks": [1, 2],
    "variant": ["paper", "release"],
    "memory": [False, True],
}


def settings_of(index):
    """Returns a row of an orthogonal array: any eight in sequence hold every pair of choices."""
    one, two, three = (index >> bit & 1 for bit in range(3))
    bits = (one, two, three, one ^ two ^ three)
    chosen = {name: OPTIONS[name][bit] for name, bit in zip(OPTIONS, bits, strict=True)}
    blocks = chosen.pop("blocks")
    return {**chosen, "num_behavior_blocks": blocks, "num_sequence_blocks": blocks}


CASES = [(1 + index % 5, settings_of(index)) for index in range(10)]
if keras.backend.backend() != "tensorflow":
    CASES = CASES[-8:]  # every pair of choices, once
each_case = pytest.mark.parametrize(("num_behaviors", "settings"), CASES)


def test_the_cases_hold_every_pair_of_choices():
    for one, other in itertools.combinations(CASES[0][1], 2):
        together = {(settings[one], settings[other]) for _, settings in CASES}
        same = {one, other} == {"num_behavior_blocks", "num_sequence_blocks"}
        assert len(together) == (2 if same else 4)


def test_a_batch_looks_its_events_and_candidates_up_once(monkeypatch):
    config = make_config(3)
    model, _ = make_pair(config)
    batch = random_batch(np.random.default_rng(0), config)
    looked_up, call_table = [], ItemTable.call

    def counting(table, ids):
        looked_up.append(np.array(ids))
        return call_table(table, ids)

    monkeypatch.setattr(ItemTable, "call", counting)
    model(batch, training=True)
    asked = [batch["item_ids"], batch["candidate_ids"]]
    assert sorted(x.size for x in looked_up) == sorted(np.size(x) for x in asked)


@each_case
def test_equals_the_reference(num_behaviors, settings):
    config = make_config(num_behaviors, **settings)
    model, w = make_pair(config)
    rng = np.random.default_rng(1)
    # Full length, shorter, and with fewer steps than positions.
    for shape in ({}, {"length": 4}, {"steps": 2, "candidates": 6}, {"steps": 1, "length": 1}):
        batch = random_batch(rng, config, **shape)
        actual, expected = call(model, batch), call_reference(w, config, batch, model.memory)
        for name in ("states", "ranking", "behavior"):
            assert_close(actual[name], expected[name])


@each_case
def test_score_catalog_equals_ranking(num_behaviors, settings):
    config = make_config(num_behaviors, **settings)
    model, _ = make_pair(config, seed=2)
    histories = random_histories(np.random.default_rng(3), config, batch=6)
    histories["item_ids"][0], histories["behavior_ids"][0] = 5, 1  # the same event repeated
    everything = np.arange(1, config.num_items + 1, dtype="int32")
    everything = np.broadcast_to(everything, (6, 1, config.num_items))
    ranking = call(model, {**histories, "candidate_ids": everything})["ranking"][:, 0]
    scores = ops.convert_to_numpy(model.score_catalog(histories))
    assert scores.shape == (6, config.num_items + 1)
    assert scores.dtype == "float32"
    assert_close(scores[:, 1:], ranking)
    assert (scores[:, 0] == np.finfo("float32").min).all()
    assert np.finfo("float32").min == np.float32(LOWEST_SCORE)


@pytest.mark.parametrize(("num_behaviors", "settings"), CASES[-3:])
def test_behavior_logits_equal_the_output_of_each_candidate(num_behaviors, settings):
    config = make_config(num_behaviors, **settings)
    model, _ = make_pair(config, seed=4)
    rng = np.random.default_rng(5)
    batch = random_batch(rng, config, batch=4, steps=1, candidates=5)
    chosen = batch["candidate_ids"][:, 0]
    logits = ops.convert_to_numpy(model.behavior_logits(batch, chosen))
    assert logits.shape == (4, 5, num_behaviors)
    for column in range(5):
        alone = {**batch, "candidate_ids": chosen[:, None, column : column + 1]}
        assert_close(logits[:, column], call(model, alone)["behavior"][:, 0])


def test_the_embedding_of_padding_does_not_matter():
    config = make_config()
    model, w = make_pair(config)
    batch = random_batch(np.random.default_rng(4), config)
    before = call(model, batch)
    load_reference_weights(model, w, padding_row=1e3)
    for name, value in call(model, batch).items():
        np.testing.assert_allclose(value, before[name], atol=1e-6)


@functools.cache
def property_model():
    config = make_config(3, num_items=4, num_heads=2, num_behavior_blocks=2, num_sequence_blocks=2)
    model, _ = make_pair(config)
    inputs = model.input
    history = {name: inputs[name] for name in ("item_ids", "behavior_ids")}
    model = keras.Model(inputs, {**model(inputs), "states": model.backbone(history)})
    model.compile(jit_compile=keras.backend.backend() == "jax")
    return model


def run(history, chosen):
    """Returns the outputs for item and behaviour ids `[rows, length]` and their candidates."""
    batch = dict(
        zip(("item_ids", "behavior_ids", "candidate_ids"), (*history, chosen), strict=True)
    )
    return property_model().predict_on_batch(batch)


def test_nothing_after_a_position_changes_it():
    history = many_histories(ROWS, LENGTH, 4, 3)
    other = many_histories(ROWS, LENGTH, 4, 3, min_events=LENGTH, seed=2)
    chosen, others = (many_candidates(ROWS, LENGTH, 2, 4, seed) for seed in (3, 4))
    before = run(history, chosen)
    for t in range(LENGTH):
        is_later = np.arange(LENGTH) > t
        edited = [np.where(is_later, new, ids) for ids, new in zip(history, other, strict=True)]
        after = run(edited, np.where(is_later[:, None], others, chosen))
        for name, value in before.items():
            np.testing.assert_allclose(after[name][:, : t + 1], value[:, : t + 1], atol=1e-5)


def test_padding_added_or_trimmed_changes_nothing():
    items, behaviors = many_histories(ROWS, LENGTH, 4, 3)
    chosen = many_candidates(ROWS, 2, 3, 4)
    full = run((items, behaviors), chosen)
    assert (full["states"][items == 0] == 0).all()
    length = 3
    rows = (items > 0).sum(axis=1) <= length
    trimmed = run((items[rows, -length:], behaviors[rows, -length:]), chosen[rows])
    for name in ("ranking", "behavior"):
        np.testing.assert_allclose(trimmed[name], full[name][rows], atol=1e-5)
    np.testing.assert_allclose(trimmed["states"], full["states"][rows, -length:], atol=1e-5)


def test_users_in_one_batch_do_not_see_each_other():
    (items, behaviors), chosen = many_histories(ROWS, LENGTH, 4, 3), many_candidates(ROWS, 2, 3, 4)
    together = run((items, behaviors), chosen)
    for row in range(0, ROWS, 7):
        alone = run((items[row : row + 1], behaviors[row : row + 1]), chosen[row : row + 1])
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][row], value[0], atol=1e-5)


def test_candidates_are_scored_each_by_itself():
    history, chosen = many_histories(ROWS, LENGTH, 4, 3), many_candidates(ROWS, 1, 4, 4)
    order = np.array([2, 0, 3, 1])
    before = run(history, chosen)
    permuted = run(history, chosen[:, :, order])
    alone = run(history, np.where(np.arange(4) == 0, chosen, 0))
    np.testing.assert_allclose(permuted["ranking"], before["ranking"][:, :, order], atol=1e-5)
    np.testing.assert_allclose(alone["ranking"][..., 0], before["ranking"][..., 0], atol=1e-5)
    np.testing.assert_allclose(alone["behavior"], before["behavior"], atol=1e-5)


def test_padded_candidates_score_zero():
    chosen = np.zeros((1, LENGTH, 3), "int32")
    history = np.full((1, LENGTH), 2, "int32"), np.full((1, LENGTH), 1, "int32")
    assert (run(history, chosen)["ranking"] == 0).all()


def test_a_history_that_is_too_long_is_an_error():
    config = make_config(max_length=3)
    batch = random_batch(np.random.default_rng(0), config, length=4)
    with pytest.raises(ValueError, match="longer than max_length 3"):
        HMAR(config)(batch)


@pytest.mark.parametrize("cls", [HMAR, HMARBackbone])
def test_a_dict_serves_as_configuration(cls):
    config = make_config(2, variant="release")
    model = cls(config.to_dict(), name="mine")
    assert isinstance(model.config, HMARConfig)
    assert model.config == config
    kept = model.get_config()
    assert (kept["name"], kept["config"]) == ("mine", config.to_dict())
    assert cls.from_config(kept).config == config
    earlier = {"name": "mine", "config": config.to_dict()}  # the config that earlier versions saved
    assert cls.from_config(earlier).get_config() == kept


def test_outputs_and_inputs_carry_their_names():
    model = HMAR(make_config())
    assert set(model.input) == {"item_ids", "behavior_ids", "candidate_ids"}
    assert set(model.output) == {"ranking", "behavior"}
    assert set(model.output_names) == {"ranking", "behavior"}
