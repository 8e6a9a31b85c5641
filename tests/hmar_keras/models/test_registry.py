"""Properties of every registered model."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import randomize
from reference_model import assert_close, make_config, random_batch

from hmar_keras import (
    HMAR,
    PRESETS,
    BehaviorLoss,
    Behaviors,
    GBCELoss,
    ModelConfig,
    NextItemConfig,
    SampledSoftmaxLoss,
    SASRec,
    SequentialRecommender,
    TrainingConfig,
    WeightedRankingLoss,
    compile_arguments,
    register_model,
)
from hmar_keras.models import MODELS, recommender_inputs, sequential_recommender

TRUTH = np.array([[0, 0, 1, 2, 1, 3]] * 5, "int32")


def batch_for(model, rng):
    """Returns a random batch with the inputs of a model."""
    batch = random_batch(rng, model.config)
    return {name: batch[name] for name in batch if name in model.input}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_keeps_the_contract(name, shared):
    config = make_config(model=name, shared_negatives=shared)
    model = MODELS[name](config)
    randomize(model)
    batch = batch_for(model, np.random.default_rng(0))
    history = {part: batch[part] for part in model.features}
    rows, steps, width = batch["candidate_ids"].shape
    if shared:
        batch["negative_ids"] = np.array([[6, 7]] * rows, "int32")
    outputs = model(batch)
    assert set(outputs) == set(model.objective().outputs)
    assert tuple(outputs["ranking"].shape) == (rows, steps, width + 2 * shared)
    scores = ops.convert_to_numpy(model.score_catalog(history))
    assert scores.shape == (rows, config.num_items + 1)
    candidates = batch["candidate_ids"][:, -1]
    asked = ops.convert_to_numpy(model.score_candidates(history, candidates))
    real = candidates > 0
    assert_close(asked[real], np.take_along_axis(scores, candidates, axis=1)[real])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_on_every_loss(name):
    for loss in ("bce", "gbce", "sampled_softmax"):
        config = make_config(model=name, loss=loss)
        model = MODELS[name](config)
        model.compile(**compile_arguments(model))
        batch = batch_for(model, np.random.default_rng(0))
        truth = {output: TRUTH for output in model.objective().outputs}
        losses = [model.train_on_batch(batch, truth, return_dict=True)["loss"] for _ in range(9)]
        assert np.isfinite(losses).all()
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_comes_back_with_its_policy_and_what_is_frozen(name, tmp_path):
    config = make_config(model=name)
    model = MODELS[name](config, dtype="mixed_bfloat16", name="mine", trainable=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.name, loaded.trainable, loaded.trainable_variables) == ("mine", False, [])
    policies = [
        [layer.dtype_policy.name for layer in each._flatten_layers()] for each in (model, loaded)
    ]
    assert policies[0] == policies[1] and "mixed_bfloat16" in policies[0]
    batch = batch_for(model, np.random.default_rng(1))
    for output, value in model(batch).items():
        np.testing.assert_array_equal(
            *(ops.convert_to_numpy(each) for each in (value, loaded(batch)[output]))
        )


def test_what_is_frozen_within_a_model_stays_frozen(tmp_path):
    model = HMAR(make_config())
    model.backbone.item_encoder.item_table.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    paths = [[each.path for each in m.trainable_variables] for m in (model, loaded)]
    assert paths[0] == paths[1]
    assert len(paths[0]) == len(model.variables) - 1 and loaded.trainable


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_makes_the_model_that_it_is_of(preset):
    behaviors = Behaviors(("view", "buy"), "buy")
    model = SequentialRecommender.from_preset(preset, 9, behaviors, "mixed_bfloat16", max_length=5)
    kind = MODELS[PRESETS[preset]["model"]]
    assert type(model) is kind and type(model.config) is kind.Settings
    for name in ("dim", "theta", "loss", "shared_negatives"):
        if name in kind.Settings.names() and name in PRESETS[preset]:
            assert getattr(model.config, name) == PRESETS[preset][name]
    assert (model.config.max_length, model.config.alpha["buy"]) == (
        5,
        PRESETS[preset]["target_alpha"],
    )
    assert model.backbone.get_layer("input_dropout").dtype_policy.name == "mixed_bfloat16"
    other = SASRec if kind is HMAR else HMAR
    with pytest.raises(ValueError, match=rf"{type(model).__name__}\.from_preset"):
        other.from_preset(preset, 9, behaviors)


class Bag(SequentialRecommender):
    """The mean of the items, whatever their order; the base class scores the catalogue.

    Its scores are not linear, and not products of a state and an item.
    """

    def __init__(self, config, dtype=None, **kwargs):
        items = keras.layers.Embedding(config.num_items + 1, config.dim, dtype=dtype, name="items")
        score = keras.layers.Dense(1, "tanh", dtype="float32", name="score")
        inputs = recommender_inputs(self.features, config.shared_negatives)
        bag = ops.mean(items(inputs["item_ids"]), axis=1)[:, None, None]
        scores = score(bag * items(inputs["candidate_ids"]))[..., 0]
        if config.shared_negatives:
            negatives = score(bag * items(inputs["negative_ids"][:, None]))[..., 0]
            negatives = negatives + ops.zeros_like(scores[..., :1])  # for every step
            scores = ops.concatenate([scores, negatives], axis=-1)
        outputs = {"ranking": keras.layers.Identity(name="ranking")(scores)}
        super().__init__(config, inputs=inputs, outputs=outputs, **kwargs)


@pytest.fixture
def registered():
    """Unregisters the models that a test registers."""
    before = dict(MODELS)
    yield
    MODELS.clear()
    MODELS.update(before)


def test_an_own_model_is_one_of_them(registered, tmp_path):
    assert register_model("bag")(Bag) is Bag
    test_every_model_keeps_the_contract("bag", shared=False)
    test_every_model_keeps_the_contract("bag", shared=True)
    config = make_config(model="bag")
    assert type(config) is NextItemConfig
    model = Bag(config)
    model.save(tmp_path / "bag.keras")
    loaded = keras.saving.load_model(tmp_path / "bag.keras")
    assert type(loaded) is Bag
    assert loaded.config == config
    history = batch_for(model, np.random.default_rng(0))
    expected = ops.convert_to_numpy(model.score_catalog(history))
    assert_close(ops.convert_to_numpy(loaded.score_catalog(history))[:, 1:], expected[:, 1:])
    assert (expected[:, 0] < -1e38).all()


@pytest.mark.parametrize("at_once", [1, 3, 7, 8, 50])
def test_without_a_query_the_catalogue_is_scored_in_pieces(monkeypatch, at_once):
    model = Bag(make_config(model="sasrec"))
    randomize(model)
    history = batch_for(model, np.random.default_rng(0))
    candidates = np.tile(np.arange(1, 8), (len(history["item_ids"]), 1))
    expected = ops.convert_to_numpy(model.score_candidates(history, candidates))
    monkeypatch.setattr(sequential_recommender, "_CANDIDATES_AT_ONCE", at_once)
    scores = ops.convert_to_numpy(model.score_catalog(history))
    assert scores.shape == (len(candidates), 8)
    assert_close(scores[:, 1:], expected)
    assert (scores[:, 0] == np.float32(sequential_recommender.LOWEST_SCORE)).all()


def test_registered_again_the_later_class_counts(registered):
    register_model("bag")(Bag)

    @register_model("bag")
    class Other(Bag):
        pass

    assert MODELS["bag"] is Other


@pytest.mark.parametrize("name", ["hmar", "sasrec", "gsasrec", "taobao", "", " ", None])
def test_names_that_cannot_be_had(registered, name):
    with pytest.raises(ValueError, match="taken" if name and name.strip() else "non-empty"):
        register_model(name)
    assert MODELS["hmar"] is not Bag


@pytest.mark.parametrize("thing", [keras.Model, object, 3, lambda config: SASRec(config)])
def test_only_recommenders_are_registered(registered, thing):
    with pytest.raises(ValueError, match="'thing' must be a SequentialRecommender"):
        register_model("thing")(thing)
    assert "thing" not in MODELS


def test_compile_arguments_are_those_of_the_objective():
    config = make_config(num_items=11, num_negatives=4, beta=0.5, theta=0.3)
    arguments = compile_arguments(HMAR(config), TrainingConfig(learning_rate=0.25))
    assert float(ops.convert_to_numpy(arguments["optimizer"].learning_rate)) == 0.25
    assert isinstance(arguments["loss"]["ranking"], WeightedRankingLoss)
    assert isinstance(arguments["loss"]["behavior"], BehaviorLoss)
    assert arguments["loss_weights"] == {"ranking": 1.0, "behavior": 0.3}

    model = HMAR(config.replace(loss="gbce", gbce_calibration=0.5))
    loss = compile_arguments(model)["loss"]["ranking"]
    assert isinstance(loss, GBCELoss)
    assert (loss.sampling_rate, loss.calibration, loss.beta) == (0.4, 0.5, 0.5)
    loss = compile_arguments(HMAR(config.replace(loss="sampled_softmax")))["loss"]["ranking"]
    assert isinstance(loss, SampledSoftmaxLoss)
    assert loss.sampling_rate == 0.4
    assert loss.alpha == config.alpha_by_id

    sasrec = compile_arguments(SASRec(make_config(model="sasrec")))
    assert list(sasrec["loss"]) == list(sasrec["metrics"]) == ["ranking"]
    assert sasrec["loss_weights"] == {"ranking": 1.0}


@pytest.mark.slow
def test_metrics_of_a_single_output_are_of_that_output():
    model = SASRec(make_config(model="sasrec"))
    model.compile(**compile_arguments(model))
    batch = batch_for(model, np.random.default_rng(0))
    logs = model.train_on_batch(batch, {"ranking": TRUTH}, return_dict=True)
    assert set(logs) == {"loss", "hr@10", "ndcg@10"}


def test_settings_of_another_model_are_refused():
    with pytest.raises(ValueError, match="must be a HMARConfig, got SASRecConfig"):
        HMAR(make_config(model="sasrec"))


@dataclasses.dataclass(frozen=True)
class Learning(NextItemConfig):
    """Settings one of which clashes with a training setting."""

    learning_rate: float = 0.1


@dataclasses.dataclass(frozen=True)
class HeldOut(NextItemConfig):
    """Settings one of which clashes with a setting of the split."""

    holdout: str = "none"


@pytest.mark.parametrize(
    ("settings", "features", "message"),
    [
        (dict, ("item_ids",), "Settings of the model 'odd' must be a frozen dataclass"),
        (Learning, ("item_ids",), "a setting 'learning_rate', which every run has"),
        (NextItemConfig, ("item_ids", "prices"), "unknown feature 'prices'; choose from item_ids"),
        (NextItemConfig, (), "'odd' reads nothing"),
        (HeldOut, ("item_ids",), "a setting 'holdout', which every run has"),
        (ModelConfig, ("item_ids",), "'odd' needs an objective"),
    ],
)
def test_what_a_class_says_of_itself_is_checked(registered, settings, features, message):
    odd = type("Odd", (Bag,), {"Settings": settings, "features": features})
    with pytest.raises(ValueError, match=message):
        register_model("odd")(odd)
    assert "odd" not in MODELS
