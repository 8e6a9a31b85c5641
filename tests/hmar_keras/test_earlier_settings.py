"""Settings saved by earlier versions are read if they mean the same, and refused otherwise."""

import json
import zipfile

import keras
import numpy as np
import pytest
from reference_model import call, make_config, random_batch

from hmar_keras import HMAR, SASRec, TrainingConfig
from hmar_keras.earlier_settings import (
    EarlierVersionError,
    saved_settings,
    translate,
    without_others,
)
from hmar_keras.settings import RENAMED, RETIRED

PAPER = {
    "behavior_projection": "shared",
    "feed_forward_residual": False,
    "layer_norm": False,
    "scale_embeddings": False,
}
RELEASE = {
    "behavior_projection": "none",
    "feed_forward_residual": True,
    "layer_norm": True,
    "scale_embeddings": True,
}


NEIGHBORS = {"num_neighbors": 0, "neighbor_weight": 1.0}


def in_one_class(model="hmar", **changes):
    """Returns all settings that had the same names in the version with one class for all."""
    settings = {"model": model, "holdout": "target", **TrainingConfig().to_dict()}
    settings |= make_config().to_dict()
    del settings["memory"]
    return {**settings, **changes}


def one_class(model="hmar", **changes):
    """Returns what the version with one class for all settings wrote."""
    return {**in_one_class(model), **NEIGHBORS, **changes}


def earlier(network, model="hmar", **changes):
    """Returns what the version before that wrote, which had no `variant`."""
    settings = one_class(model)
    del settings["variant"]
    return {**settings, "history_sum": False, **network, **changes}


def one_class_per_model(model="hmar", **changes):
    """Returns what the version with neighbours saved with a model, without training settings."""
    settings = make_config(model=model).to_dict()
    del settings["memory"]
    return {**settings, **NEIGHBORS, **changes}


def with_old_names(settings):
    """Returns settings under the names of all earlier versions."""
    old = {new: name for name, new in RENAMED.items()}
    return {old.get(name, name): value for name, value in settings.items()}


@pytest.mark.parametrize(("variant", "network"), [("paper", PAPER), ("release", RELEASE)])
def test_both_networks_have_a_variant(variant, network):
    assert translate(earlier(network, dim=8)) == in_one_class(variant=variant, dim=8)


@pytest.mark.parametrize(("name", "value"), PAPER.items())
def test_a_mixture_of_networks_is_refused_by_name(name, value):
    refused = f"{name}={value}.* comes from an earlier version .* neither .* train again"
    with pytest.raises(ValueError, match=refused):
        translate(earlier({**RELEASE, name: value}))


def test_a_projection_a_behaviour_is_refused():
    with pytest.raises(ValueError, match="behavior_projection=per_behavior"):
        translate(earlier({**PAPER, "behavior_projection": "per_behavior"}))


def test_a_part_of_a_network_is_refused():
    with pytest.raises(ValueError, match="layer_norm=True comes from an earlier version"):
        translate({"num_items": 3, "behaviors": ["view"], "layer_norm": True})


def test_sasrec_always_scales():
    scaled = {**PAPER, "scale_embeddings": True}
    for network, variant in ((RELEASE, "release"), (scaled, "paper")):
        expected = in_one_class("sasrec", variant=variant)
        assert translate(earlier(network, "sasrec")) == expected
    with pytest.raises(ValueError, match="SASRec always scales its embeddings in this one; train"):
        translate(earlier(PAPER, "sasrec"))


def test_a_history_sum_is_refused():
    with pytest.raises(ValueError, match=r"history_sum=True .* with memory=true instead"):
        translate(earlier(PAPER, history_sum=True))


@pytest.mark.parametrize("write", [one_class, one_class_per_model])
@pytest.mark.parametrize("model", [HMAR, SASRec])
def test_neighbors_are_refused_and_their_absence_is_a_model_without_memory(model, write):
    name, known = model.__name__.lower(), model.Settings.names()
    written = write(name, neighbor_weight=4.5)
    kept = {each: written[each] for each in written if each in known}
    assert saved_settings(written, known) == {**kept, "memory": False}
    refused = "num_neighbors=50 comes from an earlier .*; train again with memory=true instead"
    with pytest.raises(EarlierVersionError, match=refused):
        saved_settings(write(name, num_neighbors=50), known)


def test_neighbors_before_they_had_a_weight_are_refused():
    settings = one_class(num_neighbors=5)
    del settings["neighbor_weight"]
    with pytest.raises(EarlierVersionError, match="num_neighbors=5 comes from"):
        saved_settings(settings, HMAR.Settings.names())


def test_a_setting_of_a_custom_model_keeps_its_meaning():
    settings = one_class(num_neighbors=50)
    assert translate(settings, {"num_neighbors"})["num_neighbors"] == 50


def test_any_target_event_is_a_target_event():
    assert translate(earlier(PAPER, holdout="any")) == in_one_class()


def test_another_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"rowwise_adam comes from an earlier .* lazy_adam"):
        translate(earlier(PAPER, optimizer="rowwise_adam"))


def test_what_means_nothing_to_a_model_is_left_out_of_what_one_class_wrote():
    known = SASRec.Settings.names()
    kept = without_others(one_class("sasrec"), {*known, *TrainingConfig.names()})
    assert "theta" not in kept and {"dim", "batch_size"} <= set(kept)
    # Kept, so that they are reported: a name that no version had, and any name in a partial config.
    assert "thetta" in without_others(one_class("sasrec", thetta=1), known)
    assert without_others({"theta": 0.1, "dim": 8}, known) == {"theta": 0.1, "dim": 8}


@pytest.mark.parametrize("name", ["layer_norm", "history_sum"])
def test_settings_of_this_version_have_no_earlier_names(name):
    with pytest.raises(ValueError, match=f"unknown setting '{name}'"):
        make_config().replace(**{name: False})


@pytest.mark.parametrize("name", RETIRED)
def test_a_setting_that_is_gone_is_refused_by_a_sentence_with_what_to_use(name):
    config = make_config()
    sentence = f"the setting '{name}' no longer exists; use 'memory' instead."
    with pytest.raises(ValueError, match=sentence):
        config.replace(**{name: 0})
    with pytest.raises(ValueError, match=sentence):
        type(config).from_dict({"num_items": 3, "behaviors": config.behaviors, name: 0})
    with pytest.raises(TypeError, match=sentence):
        type(config)(3, config.behaviors, **{name: 0})
    with pytest.raises(ValueError, match="unknown setting"):  # of a class without a memory
        TrainingConfig().replace(**{name: 0})


@pytest.mark.parametrize("name", RENAMED)
def test_an_old_name_is_refused_by_a_sentence_with_the_new_one(name):
    config = make_config()
    value = config.to_dict()[RENAMED[name]]
    sentence = f"the setting '{name}' is now called '{RENAMED[name]}'; use the new name."
    with pytest.raises(ValueError, match=sentence):
        config.replace(**{name: value})
    with pytest.raises(ValueError, match=sentence):
        type(config).from_dict({"num_items": 3, "behaviors": config.behaviors, name: value})
    with pytest.raises(TypeError, match=sentence):
        type(config)(3, config.behaviors, **{name: value})


def test_another_unknown_name_is_refused_with_the_closest():
    with pytest.raises(TypeError, match="unknown setting 'dimm'; did you mean dim"):
        type(make_config())(dimm=3)


def this_network_with_old_names(network, model):
    settings = one_class_per_model(model)
    return with_old_names({**settings, "variant": "release"} if model == "hmar" else settings)


@pytest.mark.parametrize("cls", [HMAR, SASRec])
@pytest.mark.parametrize(
    "write",
    [
        lambda network, model: with_old_names(earlier(network, model)),
        lambda network, model: with_old_names(one_class(model)),
        this_network_with_old_names,
    ],
)
def test_a_model_that_an_earlier_version_saved_loads(cls, write, tmp_path):
    name = cls.__name__.lower()
    settings = write(RELEASE, name)
    config = cls.Settings.from_dict(saved_settings(settings, cls.Settings.names()))
    model = cls(config)
    batch = random_batch(np.random.default_rng(0), model.config)
    model.save(tmp_path / "model.keras")
    path = tmp_path / "earlier.keras"
    with zipfile.ZipFile(tmp_path / "model.keras") as new, zipfile.ZipFile(path, "w") as old:
        for part in new.namelist():
            content = new.read(part)
            if part == "config.json":
                saved = json.loads(content)
                saved["config"]["config"] = settings
                content = json.dumps(saved)
            old.writestr(part, content)
    loaded = keras.saving.load_model(path)
    assert loaded.config == config
    expected = call(model, batch)
    for output, value in call(loaded, batch).items():
        np.testing.assert_array_equal(value, expected[output])
