"""The README's code works as shown."""

import pathlib
import re

import keras
import pytest

pytestmark = pytest.mark.docs

ROOT = pathlib.Path(__file__).parent.parent


def test_the_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HMAR_CACHE", str(tmp_path / "cache"))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    assert blocks[0].count("\n") <= 20
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    history = names["model"].history.history
    assert {"val_ranking_hr@10", "val_ranking_ndcg@10", "behavior_accuracy"} <= set(history)
    assert keras.saving.load_model(tmp_path / "hmar.keras").config == names["model"].config
