import dataclasses
import json

import pytest

from hmar_keras import NextItemConfig, SASRec, setting
from hmar_keras.models import MODELS
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig
from pipelines.workflow.settings import MODEL_SETTINGS, build_config, model_settings


def test_precedence_rises_from_preset_to_epochs(log, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"dim": 16, "dropout": 0.1, "alpha": {"view": 0.2}}))
    config = build_config(
        log, "movielens", file, ["dropout=0.3", "alpha.cart=0.5", "training_windows=all"], epochs=7
    )
    preset = RunConfig.preset("movielens", log.num_items, log.behaviors)
    assert config == preset.replace(
        dim=16,
        dropout=0.3,
        alpha={"view": 0.2, "cart": 0.5, "buy": preset.model.alpha["buy"]},
        training_windows="all",
        epochs=7,
    )


def test_a_runs_config_serves_as_a_file(log, tmp_path):
    config = RunConfig.of(log.num_items, log.behaviors, dim=24)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert build_config(log, config_file=tmp_path / "config.json") == config


def test_a_file_of_an_earlier_version_serves_where_it_means_the_same(log, tmp_path):
    config = RunConfig.of(log.num_items, log.behaviors, variant="release", dim=24)
    settings = config.to_dict()
    del settings["variant"]
    settings |= {"feed_forward_residual": True, "layer_norm": True, "scale_embeddings": True}
    settings |= {"behavior_projection": "none", "history_sum": False, "holdout": "any"}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    assert build_config(log, config_file=file) == config
    file.write_text(json.dumps(settings | {"history_sum": True}))
    with pytest.raises(InputError, match=r"config\.json cannot be used: history_sum=True"):
        build_config(log, config_file=file)


def test_a_file_from_before_the_memory_has_none(log, tmp_path):
    """The defaults of the dataset do not add one."""
    dataset = dataclasses.replace(log, name="log")
    assert build_config(dataset).model.memory
    config = RunConfig.of(log.num_items, log.behaviors, dim=24)
    settings = {**config.to_dict(), "num_neighbors": 0, "neighbor_weight": 1.0}
    del settings["memory"]
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings))
    assert build_config(dataset, config_file=file) == config
    file.write_text(json.dumps(settings | {"num_neighbors": 50}))
    with pytest.raises(InputError, match=r"num_neighbors=50 comes .* with memory=true instead"):
        build_config(dataset, config_file=file)


@pytest.mark.parametrize("model", MODEL_SETTINGS)
def test_a_model_keeps_the_datasets_other_settings(log, tmp_path, model):
    config, hmar = build_config(log, model=model), build_config(log)
    changes = model_settings(model, log.behaviors)
    assert config == hmar.replace(**changes)
    assert config.name == ("hmar" if model == "hmar" else "sasrec")
    assert (model == "hmar") == (config == hmar)
    # The option sets the model even if a file names another.
    (tmp_path / "config.json").write_text(json.dumps(hmar.replace(dim=24).to_dict()))
    from_file = build_config(log, config_file=tmp_path / "config.json", model=model)
    assert from_file == hmar.replace(dim=24, **changes)
    # The user's settings have the last word.
    chosen = build_config(log, assignments=["num_sequence_blocks=3", "alpha.buy=2"], model=model)
    assert (chosen.model.num_sequence_blocks, chosen.model.alpha["buy"]) == (3, 2.0)


def test_a_model_that_is_none_is_named(log):
    with pytest.raises(InputError, match="unknown model 'caser'; the models are hmar, sasrec, g"):
        build_config(log, model="caser")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("dim", "field=value"),
        ("dims=3", "unknown setting 'dims'; did you mean dim"),
        ("dim=many", "dim must be a whole number"),
        ("dim=7.5", "dim must be a whole number"),
        ("num_heads=5", "num_heads must divide dim"),
        ("alpha.like=1", "unknown behaviour 'like'"),
        ("alpha.buy=-1", "alpha of 'buy'"),
        ("alpha=3", "alpha must map"),
        ("num_items=5", "comes from the dataset"),
        ("dropout=1.0", "dropout must be less than 1"),
        ("learning_rate=NaN", "finite"),
    ],
)
def test_bad_assignments_are_named(log, assignment, message):
    with pytest.raises(InputError, match=message):
        build_config(log, assignments=[assignment])


def test_bad_files_are_named(log, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        build_config(log, config_file=tmp_path / "none.json")
    file = tmp_path / "file.json"
    for content, message in (
        ("{", "not valid JSON"),
        ("[1]", "JSON object"),
        ('{"num_items": 5}', "differs from test_log's"),
        ('{"behaviors": {"names": ["like"], "target": "like"}}', "differs from test_log's"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=message):
            build_config(log, config_file=file)


def test_unknown_presets_are_named(log):
    with pytest.raises(InputError, match="taobao, tianchi, yelp, movielens"):
        build_config(log, "amazon")


@dataclasses.dataclass(frozen=True)
class OwnConfig(NextItemConfig):
    """Settings whose names mean something else in defaults, presets and earlier versions."""

    variant: str = setting("small", choices=("small", "big"))
    layer_norm: bool = False
    dim: int = setting(16, above=0, at_most=32)


@pytest.fixture
def own(monkeypatch):
    """Registers a model with these settings."""
    model = type("Own", (SASRec,), {"Settings": OwnConfig})
    monkeypatch.setitem(MODELS, "own", model)


@pytest.mark.parametrize("preset", [None, "movielens", "yelp"])
def test_settings_of_an_own_model_mean_what_it_says(own, log, preset):
    config = build_config(log, preset, model="own").model
    assert (config.variant, config.layer_norm, config.dim) == ("small", False, 16)
    said = ["variant=big", "layer_norm=true", "alpha.buy=0.75", "dim=8"]
    config = build_config(log, preset, assignments=said, model="own")
    changed = config.model
    assert (changed.variant, changed.layer_norm, changed.dim) == ("big", True, 8)
    assert changed.alpha == {"view": 1.0, "cart": 1.0, "buy": 0.75}
    assert config.replace(dropout=0.1).model.layer_norm is True
    # Settings shared with HMAR are taken over.
    assert changed.max_length == build_config(log, preset).model.max_length


def test_a_file_of_another_model_gives_what_both_have(own, log, tmp_path):
    hmar = RunConfig.of(log.num_items, log.behaviors, dropout=0.4, theta=0.3, epochs=7)
    (tmp_path / "config.json").write_text(json.dumps(hmar.to_dict()))
    config = build_config(log, config_file=tmp_path / "config.json", model="own")
    assert (config.model.dropout, config.training.epochs, config.model.dim) == (0.4, 7, 16)
    (tmp_path / "config.json").write_text(json.dumps({**hmar.to_dict(), "tehta": 1}))
    with pytest.raises(InputError, match="unknown setting 'tehta'"):
        build_config(log, config_file=tmp_path / "config.json", model="own")
    (tmp_path / "config.json").write_text(json.dumps({"model": "gru", "dim": 8}))
    with pytest.raises(InputError, match=r"'gru' is not registered.*--import"):
        build_config(log, config_file=tmp_path / "config.json")
