"""A broken experiment.json gives a one-sentence error."""

import json

import pytest

from pipelines.experiments.request import read_experiment
from pipelines.runtime.errors import InputError


@pytest.fixture
def content(config):
    names = ("dataset", "data_dir", "log", "statistics", "versions", "hardware", "suites", "seeds")
    types = {"dataset": "shop", "data_dir": None, "log": None, "statistics": {}, "versions": {}}
    return {**{name: [] for name in names}, **types, "config": config.to_dict()}


def read(path, content):
    (path / "experiment.json").write_text(json.dumps(content))
    return read_experiment(path)


def test_what_is_whole_is_read(tmp_path, content):
    assert read(tmp_path, content) == content


def test_settings_of_an_earlier_version_are_read_in_the_terms_of_this_one(tmp_path, content):
    earlier = {name: value for name, value in content["config"].items() if name != "variant"}
    switches = dict.fromkeys(("feed_forward_residual", "layer_norm", "scale_embeddings"), False)
    earlier |= {**switches, "behavior_projection": "shared", "history_sum": False}
    assert read(tmp_path, {**content, "config": earlier}) == content
    with pytest.raises(InputError, match=r"experiment\.json: history_sum=True"):
        read(tmp_path, {**content, "config": {**earlier, "history_sum": True}})


@pytest.mark.parametrize("name", ["config", "seeds", "hardware"])
def test_what_is_missing_is_named(tmp_path, content, name):
    del content[name]
    with pytest.raises(InputError, match=rf"has no {name}\); restore it"):
        read(tmp_path, content)


@pytest.mark.parametrize("whole", [[], "text", 3])
def test_another_kind_of_json(tmp_path, whole):
    with pytest.raises(InputError, match="has no dataset"):
        read(tmp_path, whole)


@pytest.mark.parametrize("settings", [[], {"dim": 8}, {"no": 1}])
def test_settings_that_do_not_do(tmp_path, content, settings):
    with pytest.raises(InputError, match=r"experiment\.json: .* Restore it"):
        read(tmp_path, {**content, "config": settings})
