"""A model that uses every part of the contract works with every command."""

import json
import os
import pathlib
import sys
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from hmar_keras.models import MODELS
from pipelines.datasets import load_dataset
from pipelines.evaluation.scoring import model_scorer
from pipelines.export.exported_scorer import ExportedScorer
from pipelines.protocol.splits import split
from pipelines.serving.loaded_version import LoadedVersion
from pipelines.training.run_directory import RunDirectory

from ..commands import fails
from ..runs import kill_after, last_state, without_times

FILE = pathlib.Path(__file__).parent / "taste.py"
TINY = ["--dataset", "synthetic_shop/tiny", "--model", "taste", "--set", "dim=8"]
TINY += ["--set", "max_length=8", "--set", "contrast=0.3"]


@pytest.fixture(scope="module", autouse=True)
def forgotten():
    """Unregisters the model that the file registers."""
    before = dict(MODELS)
    yield
    MODELS.clear()
    MODELS.update(before)


@pytest.fixture(scope="module")
def taste(hmar):
    """Returns a function that runs a command with the file."""

    def call(*arguments):
        process = hmar("--import", FILE, *arguments)
        assert process.returncode == 0, process.stderr
        return process

    return call


@pytest.fixture(scope="module")
def run(taste, hmar):
    """Returns a run of two epochs that has been evaluated."""
    taste("train", *TINY, "--epochs", 2, "--output", "run")
    taste("evaluate", "run")
    return RunDirectory.open(hmar.home / "run")


@pytest.fixture(scope="module")
def version(taste, run, hmar):
    """Returns the export of the run."""
    taste("export", "run", "--models", "models", "--name", "shop")
    return hmar.home / "models" / "shop" / "1"


def test_the_run_holds_its_setting_its_losses_and_its_results(run):
    settings = json.loads((run.path / "config.json").read_text())
    assert (settings["contrast"], settings["num_users"]) == (0.3, 200)
    assert {"ranking_loss", "behavior_loss", "contrast_loss"} <= set(run.history()[-1])
    for epoch in run.history():
        losses = [epoch[f"{name}_loss"] for name in ("ranking", "behavior", "contrast")]
        assert epoch["loss"] == pytest.approx(losses[0] + 0.1 * losses[1] + 0.3 * losses[2])
    scores = json.loads((run.path / "metrics.json").read_text())["test"]
    assert scores["Taste"]["full"]["ndcg@10"] > scores["popularity"]["full"]["ndcg@10"] / 2


def test_its_prepared_weight_is_saved(run):
    model = keras.saving.load_model(run.model)
    assert np.asarray(model.scores.popularity).max() > 0.5


def test_a_setting_of_another_model_is_refused(hmar, tmp_path):
    asked = [*TINY, "--set", "theta=0.5", "--output", tmp_path / "new"]
    fails(hmar("--import", FILE, "train", *asked), "'theta' is a setting of hmar", "not of taste")


@pytest.mark.slow
def test_the_export_reads_users(version):
    recommend = LoadedVersion(version).signature("recommend")  # as a server loads it
    history = {"items": [["3", "5"]], "behaviors": [["view", "cart"]]}
    history = {name: np.array(texts, object) for name, texts in history.items()}

    def scores(**users):
        users = {name: np.array(texts, object) for name, texts in users.items()}
        answer = recommend({**history, "k": np.array([100], np.int32), **users})
        return answer["scores"][0][np.argsort(answer["items"][0])]

    names = (version / "assets" / "users.txt").read_text().split()
    assert len(names) == 200
    one, other = (scores(users=[name]) for name in names[:2])
    assert np.abs(one - other).max() > 1e-4
    np.testing.assert_array_equal(scores(), scores(users=["nobody"]))


@pytest.mark.slow
def test_it_answers_as_the_model_does(version, run):
    model = keras.saving.load_model(run.model)
    items, users = (
        (version / "assets" / f"{x}s.txt").read_text().split() for x in ("item", "user")
    )
    features = {"item_ids": [[3, 5]], "behavior_ids": [[1, 3]], "user_ids": [7]}
    expected = keras.ops.convert_to_numpy(model.score_catalog(features))[0, 1:]
    names = model.config.behaviors.names
    for signature in ("recommend", "examples"):
        function = tf.saved_model.load(str(version)).signatures[signature]
        if signature == "recommend":
            asked = {
                "items": tf.constant([[items[2], items[4]]]),
                "behaviors": tf.constant([[names[0], names[2]]]),
                "users": tf.constant([users[6]]),
                "k": tf.constant([len(items)]),
                "exclude_seen": tf.constant([False]),
            }
        else:
            texts = {"items": [items[2], items[4]], "behaviors": [names[0], names[2]]}
            texts["users"] = [users[6]]
            feature = {
                name: tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[text.encode() for text in text_list])
                )
                for name, text_list in texts.items()
            }
            feature["k"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[len(items)]))
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            asked = {"examples": tf.constant([example.SerializeToString()])}
        answer = function(**asked)
        found = dict(
            zip(answer["items"].numpy()[0].tolist(), answer["scores"].numpy()[0], strict=True)
        )
        np.testing.assert_allclose(
            [found[item.encode()] for item in items], expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.slow
def test_the_command_asks_for_a_user(taste, hmar, version):
    user = (version / "assets" / "users.txt").read_text().split()[0]
    asked = ["recommend", "--model", "models/shop", "--history", "3:view,5:cart", "-k", 3]
    stranger, known = taste(*asked), taste(*asked, "--user", user)
    assert stranger.stdout != known.stdout
    fails(hmar(*asked, "--times", "1,2"), "reads no times")
    fails(hmar(*asked, "--times", "1,x"), "not a list of whole numbers")


@pytest.mark.slow
def test_the_export_is_evaluated_with_its_users(version, run):
    dataset = load_dataset("synthetic_shop/tiny")
    questions = split(dataset).validation
    model = keras.saving.load_model(run.model)
    expected = model_scorer(model, dataset)(questions)[:, 1:]
    found = ExportedScorer(version, dataset)(questions)[:, 1:]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_search_goes_over_its_own_setting(taste, hmar, tmp_path):
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"contrast": {"low": 0.0, "high": 1.0}}))
    asked = ["--space", space, "--over", "contrast", "--max-trials", 2, "--epochs", 1]
    taste("tune", *TINY, *asked, "--output", tmp_path / "tuned")
    best = json.loads((tmp_path / "tuned" / "best_config.json").read_text())
    assert best["model"] == "taste" and 0 <= best["contrast"] <= 1
    trials = [json.loads(p.read_text()) for p in (tmp_path / "tuned").rglob("run/config.json")]
    assert len({trial["contrast"] for trial in trials}) == 2


@pytest.mark.slow
def test_an_experiment_has_it_beside_hmar(taste, hmar, tmp_path):
    asked = ["--dataset", "synthetic_shop/tiny", "--set", "dim=4", "--set", "max_length=6"]
    taste("experiment", *asked, "--seeds", 1, "--epochs", 1, "--output", tmp_path / "experiment")
    results = json.loads((tmp_path / "experiment" / "results.json").read_text())
    assert {"HMAR", "SASRec", "Taste"} <= {row["name"] for row in results["variants"]}
    assert "Taste" in results["differences"]
    # Without the file it does not resume, because the model would be missing.
    with mock.patch.dict(MODELS):
        del MODELS["taste"]
        again = hmar("experiment", "--output", tmp_path / "experiment", "--resume")
    fails(again, "'taste' is not registered", "--import")


@pytest.mark.slow
def test_its_report_leaves_out_what_it_has_not(taste, run, tmp_path):
    taste("report", run.path, "--output", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "contrast" in text and "Taste" in text


@pytest.mark.process
def test_killed_it_resumes_bit_for_bit(taste, hmar, tmp_path):
    command = [sys.executable, "-c", "from pipelines.cli.app import main; main()"]
    command += ["--import", str(FILE), "train", *TINY, "--set", "patience=100"]
    environment = {**os.environ, "HMAR_CACHE": str(hmar.home / "cache")}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    forever = [*command, "--epochs", "100000", "--output", killed]
    kill_after(2, killed / "history.json", forever, env=environment)
    epochs = len(RunDirectory.open(killed).history()) + 2
    taste(
        "train", *TINY, "--set", "patience=100", "--epochs", epochs, "--output", killed, "--resume"
    )
    taste("train", *TINY, "--set", "patience=100", "--epochs", epochs, "--output", whole)
    resumed, expected = RunDirectory.open(killed), RunDirectory.open(whole)
    assert without_times(resumed) == without_times(expected)
    states = last_state(resumed), last_state(expected)
    assert states[0].keys() == states[1].keys()
    assert len(states[0]) > 8
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name])
