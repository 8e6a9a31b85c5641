"""Settings files of earlier versions are read where they mean the same, and refused where not."""

import json
import zipfile

import keras
import numpy as np
import pytest
from reference_model import call, make_config, random_batch

from hmar_keras import HMAR, HMARConfig, SASRec

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


def earlier(config, network, **changes):
    """What an earlier version wrote for such a configuration."""
    settings = config.to_dict()
    del settings["variant"]
    return {**settings, "history_sum": False, **network, **changes}


@pytest.mark.parametrize(("variant", "network"), [("paper", PAPER), ("release", RELEASE)])
def test_both_networks_have_a_variant(variant, network):
    config = make_config(variant=variant, dim=8)
    assert HMARConfig.from_dict(earlier(config, network)) == config
    assert HMARConfig.from_json(json.dumps(earlier(config, network))) == config


@pytest.mark.parametrize(("name", "value"), PAPER.items())
def test_a_mixture_of_networks_is_refused_by_name(name, value):
    refused = f"{name}={value}.* is of an earlier version and neither .* train anew"
    with pytest.raises(ValueError, match=refused):
        HMARConfig.from_dict(earlier(make_config(), {**RELEASE, name: value}))


def test_a_projection_a_behaviour_is_refused():
    network = {**PAPER, "behavior_projection": "per_behavior"}
    with pytest.raises(ValueError, match="behavior_projection=per_behavior"):
        HMARConfig.from_dict(earlier(make_config(), network))


def test_a_part_of_a_network_is_refused():
    with pytest.raises(ValueError, match="layer_norm=True is of an earlier version"):
        HMARConfig.from_dict({"num_items": 3, "behaviors": ["view"], "layer_norm": True})


def test_sasrec_always_scales():
    config = make_config(model="sasrec")
    scaled = {**PAPER, "scale_embeddings": True}
    # What asks for the same today, asks for the same variant.
    for network, variant in ((RELEASE, "release"), (scaled, "paper")):
        expected = config.replace(variant=variant)
        assert HMARConfig.from_dict(earlier(config, network)) == expected
    with pytest.raises(ValueError, match="SASRec always scales its embeddings; train anew"):
        HMARConfig.from_dict(earlier(config, PAPER))


def test_a_history_sum_is_refused():
    with pytest.raises(ValueError, match=r"history_sum=True .* with num_neighbors"):
        HMARConfig.from_dict(earlier(make_config(), PAPER, history_sum=True))


def test_any_target_event_is_a_target_event():
    settings = earlier(make_config(), PAPER, holdout="any")
    assert HMARConfig.from_dict(settings) == make_config()


def test_another_optimizer_is_refused():
    settings = earlier(make_config(), PAPER, optimizer="rowwise_adam")
    with pytest.raises(ValueError, match=r"rowwise_adam is of an earlier version .* lazy_adam"):
        HMARConfig.from_dict(settings)


@pytest.mark.parametrize("name", ["layer_norm", "history_sum"])
def test_settings_of_this_version_have_no_earlier_names(name):
    with pytest.raises(ValueError, match=f"unknown setting '{name}'"):
        make_config().replace(**{name: False})


@pytest.mark.parametrize("cls", [HMAR, SASRec])
def test_a_model_that_an_earlier_version_saved_loads(cls, tmp_path):
    model = cls(make_config(variant="release", model=cls.__name__.lower()))
    batch = random_batch(np.random.default_rng(0), model.config)
    model.save(tmp_path / "model.keras")
    path = tmp_path / "earlier.keras"
    with zipfile.ZipFile(tmp_path / "model.keras") as new, zipfile.ZipFile(path, "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                saved = json.loads(content)
                saved["config"]["config"] = earlier(model.config, RELEASE)
                content = json.dumps(saved)
            old.writestr(name, content)
    loaded = keras.saving.load_model(path)
    expected = call(model, batch)
    for name, value in call(loaded, batch).items():
        np.testing.assert_array_equal(value, expected[name])
