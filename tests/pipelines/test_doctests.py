"""The examples in the docstrings of the pipelines give the results they show."""

import doctest
import importlib
from pathlib import Path

import pytest

import pipelines

ROOT = Path(pipelines.__file__).parent
EXAMPLES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path.read_text().count(">>> ")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text()
}


def test_there_are_examples():
    assert "pipelines.tuning.hypermodel" in EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HMAR_CACHE", str(tmp_path / "cache"))
    failed, attempted = doctest.testmod(importlib.import_module(name), verbose=False)
    assert (failed, attempted) == (0, EXAMPLES[name])
