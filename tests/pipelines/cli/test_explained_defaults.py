"""The rules behind the default settings, printed instead of a training."""

import re

import pytest

from pipelines.datasets import load_dataset
from pipelines.workflow.defaults import default_settings
from pipelines.workflow.settings import build_config

from ..commands import fails


@pytest.mark.parametrize("command", ["run", "train", "tune", "experiment"])
def test_the_settings_are_printed_and_nothing_is_trained(hmar, command):
    process = hmar(command, "--dataset", "synthetic_shop/tiny", "--explain-defaults")
    assert process.returncode == 0
    dataset = load_dataset("synthetic_shop/tiny", cache_dir=hmar.home / "cache")
    used = build_config(dataset).to_dict()
    printed = dict(re.findall(r"^ *(\w+) +(\S+) ", process.stdout, re.MULTILINE))
    for name, default in default_settings(dataset).items():
        assert printed[name] == str(default.value) == str(used[name])
    assert not [*hmar.home.glob("*/*/config.json"), *hmar.home.glob("*/*/experiment.json")]


def test_a_log_that_is_none_is_named(hmar):
    fails(hmar("train", "--dataset", "nothing", "--explain-defaults"), "unknown dataset 'nothing'")
    fails(hmar("train", "--log", "none.csv", "--user", "u", "--explain-defaults"), "none.csv")
