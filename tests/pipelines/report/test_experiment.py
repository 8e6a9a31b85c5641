"""The page of an experiment, from files like those of `hmar experiment`."""

import json
import os
import shutil

import numpy as np
import pytest

from pipelines.report.experiment import read_experiment
from pipelines.report.experiment_report import experiment_report
from pipelines.runtime.errors import InputError

from ..commands import fails
from .html_page import HTMLPage

PROTOCOLS = {"sampled": 0.8, "sampled_popular": 0.5, "full": 0.4, "full_unseen": 0.2}
VARIANTS = {"full model": 0.0, "no <gates> & co": -0.05, "no head": 0.0004, "popularity": -0.3}
SEEDS = [0, 1, 2]


def _metrics(rng, shift):
    return {
        protocol: {
            f"{metric}@10": level * scale + shift + 0.004 * float(rng.standard_normal())
            for metric, scale in (("hr", 1), ("ndcg", 0.6))
        }
        for protocol, level in PROTOCOLS.items()
    }


def _history(rng, epochs):
    scores = 0.3 * (1 - np.exp(-np.arange(1, epochs + 1) / 4)) + 0.01 * rng.random(epochs)
    return [{"epoch": e + 1, "val_score": float(s)} for e, s in enumerate(scores)]


def write_experiment(directory, reference_run=None):
    """Writes the files of an experiment; the reference's first run is a copy of `reference_run`."""
    rng = np.random.default_rng(0)
    variants, differences = [], {}
    for name, shift in VARIANTS.items():
        trained, seeds = name != "popularity", []
        for seed in SEEDS:
            run = directory / "runs" / f"{name.replace(' ', '_')}-{seed}"
            if trained:
                run.mkdir(parents=True)
                (run / "history.json").write_text(json.dumps(_history(rng, 8 + seed)))
            where = str(run.relative_to(directory)) if trained else None
            numbers = {"epochs": 8 + seed, "best_epoch": 5 + seed, "seconds": 61.0}
            seeds.append(
                {
                    **{"seed": seed, "run": where, **(numbers if trained else {})},
                    **{part: _metrics(rng, shift) for part in ("validation", "test")},
                }
            )
        changes = {} if shift == 0 else {"dropout": 0.1, "note": "<b>"}
        variants.append({"name": name, "changes": changes, "trained": trained, "seeds": seeds})
        differences[name] = {
            protocol: {
                metric: {"difference": -shift, "low": -shift - 0.01, "high": -shift + 0.01}
                for metric in ("hr@10", "ndcg@10")
            }
            for protocol in PROTOCOLS
        }
    del differences["full model"]
    if reference_run:
        shutil.rmtree(directory / "runs" / "full_model-0")
        shutil.copytree(reference_run, directory / "runs" / "full_model-0")
    settings = {"dataset": "synthetic_shop/tiny", "suite": "ablation", "seeds": SEEDS}
    (directory / "experiment.json").write_text(json.dumps(settings))
    results = {"variants": variants, "reference": "full model", "differences": differences}
    (directory / "results.json").write_text(json.dumps(results))
    return results


@pytest.fixture
def directory(tmp_path):
    write_experiment(tmp_path)
    return tmp_path


def test_means_and_deviations_are_those_of_the_seeds(directory):
    results = json.loads((directory / "results.json").read_text())
    parsed = HTMLPage(experiment_report(directory))
    header, *rows = parsed.table("Test: mean and standard deviation")
    titles = ["sampled negatives", "popular negatives", "full catalogue", "new items"]
    assert header[1:] == [f"{title}, {m}@10" for title in titles for m in ("HR", "NDCG")]
    for row, variant in zip(rows, results["variants"], strict=True):
        assert row[0].removesuffix(" reference") == variant["name"]
        cells = iter(row[1:])
        for protocol in PROTOCOLS:
            for metric in ("hr@10", "ndcg@10"):
                values = [seed["test"][protocol][metric] for seed in variant["seeds"]]
                expected = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
                assert next(cells) == expected


def test_differences_and_trainings_are_drawn_and_told(directory):
    parsed = HTMLPage(experiment_report(directory))
    _, *rows = parsed.table("NDCG@10: reference minus variant")
    assert len(rows) == 12
    assert ["sampled negatives, popularity", "+0.3000", "+0.2900 to +0.3100"] in rows
    captions = [element.text for element in parsed.all("figcaption")]
    assert any("clearly better in 8, clearly worse in 0" in text for text in captions)
    titles = [e.text for e in parsed.all("p") if e.attributes.get("class") == "title"]
    assert "no <gates> & co" in titles
    assert "popularity" not in titles  # it is not trained
    _, *rows = parsed.table("Validation score, no head")
    assert len(rows) == 10
    assert rows[-1][1:3] == ["–", "–"]
    header = parsed.all("header")[0].text
    assert "“full model” is clearly above “no <gates> & co” and “popularity”; not clearly" in header
    assert "not clearly different from 1 variant." in header
    changes = {row[0]: row for row in parsed.table("What each variant is")}
    assert changes["no <gates> & co"][1] == "dropout = 0.1; note = <b>"
    assert changes["popularity"][2] == "not trained"
    assert changes["no head"][2] == "5 of 8, 6 of 9, 7 of 10"


def test_protocols_may_be_missing(directory):
    results = json.loads((directory / "results.json").read_text())
    for variant in results["variants"]:
        for seed in variant["seeds"]:
            del seed["test"]["sampled_popular"]
    del results["variants"][3]["seeds"][0]["test"]["full"]
    del results["differences"]["popularity"]
    results["variants"][3]["seeds"] = results["variants"][3]["seeds"][:1]
    (directory / "results.json").write_text(json.dumps(results))
    parsed = HTMLPage(experiment_report(directory))
    _, *rows = parsed.table("Test: mean and standard deviation")
    assert rows[3][3:5] == ["–", "–"]
    assert rows[3][1].endswith("± –")


@pytest.mark.slow
def test_the_reference_has_its_own_report_below(hmar, trained):
    directory = hmar.home / "ablation"
    directory.mkdir()
    write_experiment(directory, trained)
    process = hmar("report", "ablation", "--user", "3", HMAR_CACHE=os.environ["HMAR_CACHE"])
    assert process.returncode == 0, process.stderr
    parsed = HTMLPage((directory / "report.html").read_text(encoding="utf-8"))
    sections = [element.attributes["id"] for element in parsed.all("section")]
    assert sections[:5] == ["variants", "differences", "trainings", "one-run", "results"]
    assert "One user: 3" in parsed.all("main")[0].text


def test_an_experiment_that_is_not_finished_is_told(hmar, directory):
    results = (directory / "results.json").read_text()
    (directory / "results.json").unlink()
    fails(hmar("report", directory), "results.json", "to its end")
    (directory / "results.json").write_text(results.replace('"seeds"', '"other"'))
    fails(hmar("report", directory), "results.json", "seeds")
    (directory / "results.json").write_text("{")
    fails(hmar("report", directory), "not valid JSON")
    (directory / "results.json").write_text(results.replace('"reference": "full', '"reference": "'))
    fails(hmar("report", directory), "reference")
    (directory / "results.json").write_text(results)
    fails(hmar("report", directory, "--user", "3"), "--user")
    assert not (directory / "report.html").exists()


def test_reading_keeps_what_the_files_say(directory):
    experiment = read_experiment(directory)
    assert experiment.protocols == list(PROTOCOLS)
    training = experiment.variant("no head").trainings[1]
    assert (training.seed, training.epochs, training.best_epoch) == (1, 9, 6)
    assert len(training.history) == 9
    assert experiment.variant("popularity").trainings[0].run is None
    with pytest.raises(InputError, match=r"experiment\.json"):
        read_experiment(directory / "nowhere")
