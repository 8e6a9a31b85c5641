"""Settings saved by earlier versions are read if they mean the same, and refused otherwise."""

import json
import zipfile

import keras
import numpy as np
import pytest
from reference_model import call, make_config, random_batch

from hmar_keras import HMAR, SASRec, TrainingConfig
from hmar_keras.earlier_settings import saved_settings, translate, without_others
from hmar_keras.settings import RENAMED

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


def one_class(model="hmar", **changes):
    """Returns what the version with one class for all settings wrote."""
    settings = {"model": model, "holdout": "target", **TrainingConfig().to_dict()}
    return {**settings, **make_config().to_dict(), **changes}


def earlier(network, model="hmar", **changes):
    """Returns what the version before that wrote, which had no `variant`."""
    settings = one_class(model)
    del settings["variant"]
    return {**settings, "history_sum": False, **network, **changes}


def with_old_names(settings):
    """Returns settings under the names of all earlier versions."""
    old = {new: name for name, new in RENAMED.items()}
    return {old.get(name, name): value for name, value in settings.items()}


@pytest.mark.parametrize(("variant", "network"), [("paper", PAPER), ("release", RELEASE)])
def test_both_networks_have_a_variant(variant, network):
    assert translate(earlier(network, dim=8)) == one_class(variant=variant, dim=8)


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
        expected = one_class("sasrec", variant=variant)
        assert translate(earlier(network, "sasrec")) == expected
    with pytest.raises(ValueError, match="SASRec always scales its embeddings in this one; train"):
        translate(earlier(PAPER, "sasrec"))


def test_a_history_sum_is_refused():
    with pytest.raises(ValueError, match=r"history_sum=True .* with num_neighbors"):
        translate(earlier(PAPER, history_sum=True))


def test_any_target_event_is_a_target_event():
    assert translate(earlier(PAPER, holdout="any")) == one_class()


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
    settings = {**make_config().to_dict(), "variant": "release"}
    cls = {"hmar": HMAR, "sasrec": SASRec}[model]
    return with_old_names({name: settings[name] for name in cls.Settings.names()})


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
