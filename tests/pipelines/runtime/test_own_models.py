"""Custom models in the commands, which import the file that registers them."""

import json
import os
import sys

import pytest
import tensorflow as tf

from hmar_keras.models import MODELS, SASRec
from pipelines.runtime.errors import InputError
from pipelines.workflow.settings import model_settings

from ..commands import fails, fails_last

MODEL = """
from parts import double  # from beside this file

from hmar_keras import SASRec, register_model


@register_model("mine")
class Mine(SASRec):
    def score_catalog(self, features):
        return double(super().score_catalog(features))
"""
TINY = ["--dataset", "synthetic_shop/tiny", "--set", "dim=8", "--set", "max_length=8"]


@pytest.fixture(scope="module")
def file(home):
    folder = home / "my models"
    folder.mkdir()
    (folder / "parts.py").write_text("def double(scores):\n    return 2 * scores\n")
    (folder / "mine.py").write_text(MODEL)
    yield folder / "mine.py"
    MODELS.pop("mine", None)


@pytest.fixture(scope="module")
def run(hmar, file):
    """Trains a run, and unregisters its model."""
    asked = ["train", *TINY, "--epochs", 1, "--model", "mine", "--output", "run"]
    process = hmar("--import", file, *asked)
    assert process.returncode == 0, process.stderr
    assert json.loads((hmar.home / "run" / "config.json").read_text())["model"] == "mine"
    del MODELS["mine"]
    return hmar.home / "run"


@pytest.mark.slow
def test_without_the_file_a_run_says_what_it_needs(hmar, run, tmp_path):
    for command in ("evaluate", "export", "report"):
        fails(hmar(command, run), "'mine'", "is not registered", "hmar --import FILE.py")
    fails(hmar("train", *TINY, "--model", "mine", "--output", tmp_path / "new"), "--import FILE.py")


@pytest.mark.process
def test_another_process_loads_the_file_again(hmar, fresh_hmar, run, file):
    process = fresh_hmar("--import", file, "export", run, "--models", "mine")
    assert process.returncode == 0, process.stderr
    model = tf.saved_model.load(str(hmar.home / "mine" / "synthetic_shop-tiny" / "1"))
    history = {"items": tf.constant([["3"]]), "behaviors": tf.constant([["view"]])}
    few = {"k": tf.constant(5), "exclude_seen": tf.constant(False)}
    best = model.signatures["recommend"](**history, **few)
    ranked = model.signatures["rank"](**history, candidates=best["items"])
    # The class in the file doubles the scores.
    tf.debugging.assert_near(best["scores"], 2 * ranked["scores"])


@pytest.mark.slow
def test_the_environment_names_files_too(hmar, run, tmp_path):
    files = [tmp_path / "a name.py", tmp_path / "mine.py"]
    files[0].write_text("")
    files[1].write_text(
        "from hmar_keras import SASRec, register_model\n"
        "@register_model('mine')\nclass Mine(SASRec):\n    pass\n"
    )
    files = os.pathsep.join(map(str, files))
    process = hmar("evaluate", run, HMAR_IMPORT=files)
    assert process.returncode == 0, process.stderr
    assert "Mine" in json.loads((run / "metrics.json").read_text())["test"]


def test_settings_of_an_own_model(log, monkeypatch):
    monkeypatch.setitem(MODELS, "mine", SASRec)
    settings = model_settings("mine", log.behaviors)
    assert settings["model"] == "mine"
    assert set(settings["alpha"].values()) == {1.0}
    with pytest.raises(InputError, match="are hmar, sasrec, gsasrec, mine, and custom models"):
        model_settings("yours", log.behaviors)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_this_name", "nothing_of_this_name"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("from hmar_keras import *\nregister_model('hmar')(SASRec)", "'hmar' is taken"),
        ("from hmar_keras import *\nregister_model('my')(dict)", "'my' must be a Sequential"),
    ],
)
def test_a_file_that_fails_is_one_sentence(hmar, tmp_path, text, words):
    (tmp_path / "bad.py").write_text(text)
    fails(hmar("--import", tmp_path / "bad.py", "evaluate", "run"), str(tmp_path), words, "fix the")


def test_what_is_no_file_is_one_sentence(hmar, tmp_path):
    (tmp_path / "model.txt").write_text("")
    for path in ("nowhere.py", tmp_path, tmp_path / "model.txt"):
        fails(hmar("--import", path, "evaluate", "run"), str(path), "not a Python file")


def test_a_start_that_needs_the_item_table_asks_for_it(hmar, tmp_path):
    """Otherwise a model need not define `item_table`."""
    file = tmp_path / "tableless.py"
    file.write_text(
        "from hmar_keras import SASRec, SequentialRecommender, register_model\n"
        "@register_model('tableless')\nclass Tableless(SASRec):\n"
        "    item_table = SequentialRecommender.item_table\n"
    )
    asked = ["train", *TINY, "--model", "tableless", "--set", "item_start=cooccurrence"]
    process = hmar("--import", file, *asked, "--output", tmp_path / "run")
    MODELS.pop("tableless", None)
    fails_last(process, "Tableless must define item_table")


@pytest.mark.slow
def test_the_environment_may_name_no_file_or_a_missing_one(hmar, run, tmp_path):
    MODELS["mine"] = SASRec  # as if a file had registered it
    for nothing in ("", "[]"):
        assert hmar("evaluate", run, HMAR_IMPORT=nothing).returncode == 0
    MODELS.pop("mine")
    for wrong in (str(tmp_path / "gone.py"), str(tmp_path)):
        fails(hmar("evaluate", run, HMAR_IMPORT=wrong), "HMAR_IMPORT", wrong, "not a Python file")


@pytest.mark.slow
def test_the_name_of_a_file_may_have_a_colon(hmar, run, tmp_path):
    (tmp_path / "a:b").mkdir()
    (tmp_path / "a:b" / "mi:ne.py").write_text(
        "from hmar_keras import SASRec, register_model\n"
        "@register_model('mine')\nclass Mine(SASRec):\n    pass\n"
    )
    files = json.dumps([str(tmp_path / "a:b" / "mi:ne.py")])
    process = hmar("--import", tmp_path / "a:b" / "mi:ne.py", "evaluate", run)
    assert process.returncode == 0, process.stderr
    MODELS.pop("mine")
    del sys.modules[f"hmar_import {tmp_path / 'a:b' / 'mi:ne.py'}"]
    process = hmar("evaluate", run, HMAR_IMPORT=files)  # as when another process starts
    assert process.returncode == 0, process.stderr
