import dataclasses
import json

import numpy as np
import pytest

from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from pipelines.evaluation.evaluator import (
    FULL,
    FULL_UNSEEN,
    Evaluator,
    model_scorer,
    validation_score,
)
from pipelines.export import METADATA
from pipelines.export.blessing import bless, live_results, live_version
from pipelines.export.checksums import CHECKSUMS
from pipelines.export.exported_scorer import ExportedScorer
from pipelines.export.rollout import Batching, Rollout, write_rollout
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.runtime.model_versions import versions
from pipelines.storage.artefacts import write_json

from ..commands import fails


def results(score):
    """Returns evaluation results with a given `validation_score`."""
    return {
        protocol: {"questions": questions, "ndcg@10": score, "hr@10": score}
        for protocol, questions in (("sampled", 9), (FULL, 9), (FULL_UNSEEN, 4))
    }


BASELINES = {"popularity": results(0.1), "touched, by conversion": results(0.2)}


@pytest.mark.parametrize(
    ("score", "live", "options", "blessed"),
    [
        (0.3, None, {}, True),
        (0.2, None, {}, True),  # equal is not worse
        (0.19, None, {}, False),
        (0.3, 0.3, {}, True),
        (0.299, 0.3, {}, False),
        (0.298, 0.3, {"tolerance": 0.01}, True),
        (0.296, 0.3, {"tolerance": 0.01}, False),
        (0.21, None, {"gain": 0.1}, False),
        (0.23, None, {"gain": 0.1}, True),
        (0.15, 0.1, {}, False),
        (float("nan"), None, {}, False),
    ],
)
def test_the_decision(score, live, options, blessed):
    live = None if live is None else results(live)
    assert bless(results(score), BASELINES, live, **options).blessed is blessed


def test_reasons_name_what_failed_with_numbers():
    blessing = bless(results(0.15), BASELINES, results(0.1), gain=0.1)
    assert blessing.reasons == [
        "validation score 0.1500 is below the 0.2000 (times 1.1) of the best baseline, "
        '"touched, by conversion"'
    ]
    both = bless(results(0.15), BASELINES, results(0.4)).sentence()
    assert both.startswith("not blessed, nothing was written: ")
    assert "0.4000 of the live version; " in both
    good = bless(results(0.5), BASELINES, results(0.4)).sentence()
    assert good.startswith(
        "blessed: validation score 0.5000 is at least the 0.4000 of the live version"
    )
    assert "0.2000 of the best baseline" in good


@pytest.mark.slow
def test_an_export_scores_as_its_model(version, model, log):
    questions = split(log).validation
    expected = model_scorer(model, log)(questions)[:, 1:]
    scores = ExportedScorer(version, log)(questions)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[:, 1:], expected, atol=1e-5)


@pytest.mark.slow
def test_another_catalogue_is_matched_by_name(version, log):
    """Items with other ids, a new item, and an item that is gone."""
    questions = split(log).validation
    before = ExportedScorer(version, log)(questions)
    order = np.random.default_rng(0).permutation(log.num_items)
    items = log.items[order]
    new_ids = np.concatenate([[0], np.argsort(order) + 1]).astype(np.int32)
    moved = dataclasses.replace(log, items=items, item_ids=new_ids[log.item_ids])
    np.testing.assert_array_equal(
        ExportedScorer(version, moved)(questions)[:, new_ids[1:]], before[:, 1:]
    )
    more = dataclasses.replace(log, items=np.concatenate([log.items, ["new"]]))
    scores = ExportedScorer(version, more)(questions)
    np.testing.assert_array_equal(scores[:, 1:-1], before[:, 1:])
    assert np.all(scores[:, -1] == np.float32(LOWEST_SCORE))
    fewer = dataclasses.replace(log, items=np.concatenate([["gone"], log.items[1:]]))
    assert np.all(ExportedScorer(version, fewer)(questions)[:, 1] == np.float32(LOWEST_SCORE))


def candidate(model, statistics="as now"):
    return {
        "config": model.config.to_dict(),
        "dataset": "test_log",
        "statistics": {"state": statistics},
    }


def store(version, **changes):
    path = version / METADATA
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    (version / CHECKSUMS).unlink(missing_ok=True)  # otherwise the change counts as damage


@pytest.mark.slow
def test_the_live_version_is_asked_anew_unless_the_questions_are_the_same(version, model, log):
    splits = split(log)
    evaluator = Evaluator(log, splits.validation, seed=0)
    expected = evaluator(model_scorer(model, log), (FULL, FULL_UNSEEN))
    # Without stored results.
    assert live_results(version, candidate(model), splits) == expected
    stored = {"HMAR": results(0.7), **BASELINES}
    store(version, validation=stored, statistics={"state": "as now"})
    assert live_results(version, candidate(model), splits) == results(0.7)
    # The data has changed, or other events are held out.
    assert live_results(version, candidate(model, "grown"), splits) == expected
    for part in ("fingerprint", "questions"):
        other = {**candidate(model), part: "of other events"}
        assert live_results(version, other, splits) == expected
    last = candidate(model)
    last["config"] = {**last["config"], "holdout": "last"}
    assert live_results(version, last, splits) == expected


@pytest.mark.slow
def test_the_live_version_is_the_latest(version, tmp_path):
    assert live_version(version.parent) == version
    assert live_version(tmp_path / "nothing") is None
    assert live_version(tmp_path) is None


def test_the_live_version_of_a_rollout_is_the_stable_one(tmp_path):
    models, config = tmp_path / "models", tmp_path / "config"
    for version in (1, 2, 3):
        (models / "shop" / str(version)).mkdir(parents=True)
    (models / "other").mkdir()
    write_rollout(Rollout("shop"), Batching(), models, config)
    assert live_version(models / "shop", config) == models / "shop" / "3"
    write_rollout(Rollout("shop", stable=1, canary=3), Batching(), models, config)
    assert live_version(models / "shop", config) == models / "shop" / "1"
    assert live_version(models / "shop") == models / "shop" / "3"
    with pytest.raises(InputError, match="does not serve the model other"):
        live_version(models / "other", config)
    (models / "shop" / "1").rmdir()
    with pytest.raises(InputError, match="no version 1, which is the stable one"):
        live_version(models / "shop", config)


@pytest.mark.parametrize("text", [None, "no {", b"\xff"])
def test_a_rollout_that_cannot_be_read_is_named(tmp_path, text):
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "models.config").write_bytes(data)
    with pytest.raises(InputError, match=r"models\.config cannot be read.*hmar rollout"):
        live_version(tmp_path / "shop", tmp_path)


def test_a_broken_live_version_is_named(tmp_path, model, log):
    (tmp_path / "3").mkdir()
    with pytest.raises(InputError, match=r"hmar\.json cannot be read.*--bless"):
        live_results(tmp_path / "3", candidate(model), split(log))
    (tmp_path / "3" / METADATA).parent.mkdir()
    (tmp_path / "3" / METADATA).write_text("{}")
    with pytest.raises(InputError, match=r"hmar\.json cannot be read.*--bless"):
        live_results(tmp_path / "3", candidate(model), split(log))


@pytest.fixture(scope="module")
def run(hmar):
    """Returns a trained run that has not been evaluated."""
    settings = ("--set", "dim=8", "--set", "max_length=10")
    process = hmar(
        *("train", "--dataset", "synthetic_shop/tiny", *settings),
        *("--epochs", 1, "--output", "first"),
    )
    assert process.returncode == 0, process.stderr
    return hmar.home / "first"


def pretend(run, **scores):
    """Rewrites `metrics.json` with these scores for the model and all baselines."""
    path = run / "metrics.json"
    metrics = json.loads(path.read_text())
    for name in metrics["validation"]:
        metrics["validation"][name] = results(scores["model" if name == "HMAR" else "baselines"])
    write_json(path, metrics)


@pytest.mark.slow
def test_the_whole_way(hmar, run):
    asked = ("export", run, "--name", "shop")
    models = hmar.home / "saved_models" / "shop"
    process = hmar(*asked, "--bless", "--gain", 1000)
    fails(process, "not blessed, nothing was written", "(times 1001) of the best baseline")
    assert (run / "metrics.json").exists()
    assert not models.exists()

    pretend(run, model=0.3, baselines=0.2)
    process = hmar(*asked, "--bless")
    assert process.returncode == 0, process.stderr
    assert "blessed: validation score 0.3000 is at least the 0.2000 of the best" in process.stderr
    metadata = json.loads((models / "1" / METADATA).read_text())
    assert validation_score(metadata["validation"]["HMAR"]) == 0.3

    pretend(run, model=0.29, baselines=0.2)
    fails(hmar(*asked, "--bless"), "0.2900 is below the 0.3000 of the live version")
    assert list(versions(models)) == [1]
    process = hmar(*asked, "--bless", "--tolerance", 0.1)
    assert process.returncode == 0, process.stderr
    assert "(times 0.9) of the live version" in process.stderr
    assert list(versions(models)) == [1, 2]

    # As good as the latest version, a canary, but worse than the stable one.
    assert hmar("rollout", "--name", "shop", "--stable", 1, "--output", "config").returncode == 0
    assert hmar(*asked, "--bless").returncode == 0
    fails(hmar(*asked, "--bless", "--rollout", "config"), "below the 0.3000 of the live version")
    assert list(versions(models)) == [1, 2, 3]


@pytest.mark.slow
def test_the_live_version_of_other_data_is_evaluated(hmar, run):
    """Both are the same model, so only the scores invented for the candidate decide."""
    assert hmar("export", run, "--name", "other").returncode == 0
    version = hmar.home / "saved_models" / "other" / "1"
    store(version, statistics={"users": 1}, validation={"HMAR": results(0.999)})
    pretend(run, model=0.0, baselines=0.0)
    fails(hmar("export", run, "--name", "other", "--bless"), "0.0000 is below", "live version")
    pretend(run, model=0.99, baselines=0.0)
    process = hmar("export", run, "--name", "other", "--bless")
    assert process.returncode == 0, process.stderr
    assert list(versions(version.parent)) == [1, 2]


@pytest.mark.slow
def test_thresholds_without_blessing_are_refused(hmar, run):
    fails(hmar("export", run, "--tolerance", 0.1), "--bless")
    fails(hmar("export", run, "--gain", 0.1), "--bless")
    fails(hmar("export", run, "--rollout", "config"), "--bless")
