"""The commands as a user runs them: one full run in fresh processes, the rest in this one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from unittest import mock

import pytest
import tensorflow as tf

from pipelines.datasets import load_dataset
from pipelines.description.traits_text import trait_lines
from pipelines.protocol.log_traits import log_traits
from pipelines.protocol.splits import split

from ..commands import fails

SMALL = ["--set", "dim=8", "--set", "max_length=8", "--epochs", "2"]
TINY = ["--dataset", "synthetic_shop/tiny"]


@pytest.fixture(scope="module")
def finished(fresh_hmar):
    """Runs `hmar run` on the tiny shop, from scratch."""
    process = fresh_hmar("run", *TINY, *SMALL, "--output", "first", "--seed", "1")
    assert process.returncode == 0, process.stderr
    return process


def test_run_trains_evaluates_exports_and_answers(hmar, finished):
    run, version = hmar.home / "first", hmar.home / "saved_models" / "synthetic_shop-tiny" / "1"
    read_back = ("run.json", "config.json", "history.json", "metrics.json", "model.keras")
    assert {path.name for path in run.iterdir()} == {
        *read_back,
        *(f"{name}.sha256" for name in read_back),
        *("checkpoints", "tensorboard", "run.lock"),
    }
    assert (version / "saved_model.pb").is_file()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["seed"] == 1
    assert metrics["epochs"] == 2
    for part in ("validation", "test"):
        assert list(metrics[part]) == [
            *("HMAR", "popularity", "repeat your history", "recency by behaviour"),
            *("touched, by conversion", "session co-occurrence"),
        ]
        for protocols in metrics[part].values():
            assert set(protocols) == {"sampled", "full", "full_unseen"}
            for values in protocols.values():
                names = {f"{m}@{k}" for m in ("hr", "ndcg") for k in (1, 5, 10, 20)}
                assert set(values) == {"questions", "candidates", *names}
    history = json.loads((run / "history.json").read_text())
    best = max(history, key=lambda entry: entry["val_score"])
    assert metrics["best_epoch"] == best["epoch"]
    for protocol, values in metrics["validation"]["HMAR"].items():
        assert values["ndcg@10"] == pytest.approx(best[f"val_{protocol}_ndcg@10"], abs=1e-9)
    # The answer on stdout, after the tables: five items with scores, best first.
    answer = [line.split("\t") for line in finished.stdout.splitlines() if "\t" in line]
    assert len(answer) == 5
    scores = [float(score) for _, score in answer]
    assert scores == sorted(scores, reverse=True)


def test_the_printed_recommend_command_gives_the_same_answer(fresh_hmar, finished):
    (line,) = [line for line in finished.stderr.splitlines() if "hmar recommend" in line]
    model, history = re.search(r"--model (\S+) --history '(\S+)'", line).groups()
    process = fresh_hmar("recommend", "--model", model, "--history", history, "-k", 5)
    assert process.returncode == 0, process.stderr
    answer = [line for line in finished.stdout.splitlines() if "\t" in line]
    assert process.stdout.splitlines() == answer
    assert process.stderr == ""


def test_recommend_tells_what_it_does_not_know(hmar, finished):
    model = "saved_models/synthetic_shop-tiny/1"
    process = hmar("recommend", "--model", model, "--history", "9999:view,5:cart", "-k", 3)
    assert process.returncode == 0
    assert "9999" in process.stderr
    assert len(process.stdout.splitlines()) == 3
    seen = hmar("recommend", "--model", model, "--history", "5:cart", "--exclude-seen", "-k", 99)
    assert len(seen.stdout.splitlines()) == 99
    assert "5" not in [line.split("\t")[0] for line in seen.stdout.splitlines()]


def test_recommend_explains(hmar, finished):
    model = "saved_models/synthetic_shop-tiny/1"
    asked = ["recommend", "--model", model, "--history", "9:view,5:view,5:cart,7:view", "-k", 20]
    plain = [line.split("\t") for line in hmar(*asked).stdout.splitlines()]
    process = hmar(*asked, "--explain")
    assert process.returncode == 0, process.stderr
    lines = [line.split("\t") for line in process.stdout.splitlines()]
    assert [line[:2] for line in lines] == plain
    reasons = {item: reason for item, _, reason in lines}
    assert reasons["5"] == "you: view, cart, last 1 event ago"
    goes = r"goes with \d+ \((view|favorite|cart|buy)\)|popular|the model's network"
    assert all(re.fullmatch(goes, reasons[item]) for item in set(reasons) - {"5", "7", "9"})


def test_training_begins_with_what_the_log_is_like(finished, tmp_path):
    traits = log_traits(split(load_dataset("synthetic_shop/tiny", None, tmp_path)))
    printed = finished.stderr.splitlines()
    first = next(row for row, line in enumerate(printed) if line.startswith("returns: "))
    expected = [f"{name}: {text}" for name, text in trait_lines(traits).items()]
    assert printed[first : first + len(expected)] == expected


def test_evaluate_and_export_a_run(hmar, finished):
    before = (hmar.home / "first" / "metrics.json").read_text()
    process = hmar("evaluate", "first")
    assert process.returncode == 0, process.stderr
    assert (hmar.home / "first" / "metrics.json").read_text() == before
    tables = [line for line in finished.stdout.splitlines() if "\t" not in line]
    assert [line for line in process.stdout.splitlines() if line.strip()] == [
        line for line in tables if line.strip()
    ]
    process = hmar("export", "first", "--models", "elsewhere", "--name", "shop")
    assert process.returncode == 0, process.stderr
    assert (hmar.home / "elsewhere" / "shop" / "1" / "saved_model.pb").is_file()


def test_train_and_resume_with_more_epochs(hmar, fresh_hmar, finished):
    # In fresh processes like the first run, because TensorFlow runs without oneDNN in this one.
    resumed = ("train", *TINY, *SMALL, "--output", "resumed", "--seed", "1")
    process = fresh_hmar(*resumed, "--epochs", 1)
    assert process.returncode == 0, process.stderr
    process = fresh_hmar(*resumed, "--resume")
    assert process.returncode == 0, process.stderr

    def history(run):
        entries = json.loads((hmar.home / run / "history.json").read_text())
        return [{k: v for k, v in entry.items() if k != "seconds"} for entry in entries]

    assert history("resumed") == history("first")
    other = ["--set", "dim=16", "--output", "resumed", "--resume"]
    fails(hmar("train", *TINY, *other, "--seed", "1"), "other settings")
    fails(hmar("train", *TINY, "--output", "resumed", "--resume"), "--seed 1")
    fails(hmar("train", *TINY, "--resume"), "--output")


def test_bad_input_in_a_fresh_process_is_one_sentence(fresh_hmar):
    fails(fresh_hmar("train", "--dataset", "movielens/1m", "--data-dir", "nowhere"), "nowhere")


def test_an_interrupted_training_says_how_to_continue(home, finished):
    command = [sys.executable, "-c", "from pipelines.cli.app import main; main()", "train", *TINY]
    process = subprocess.Popen(
        [*command, *SMALL, "--epochs", "100000", "--set", "patience=1000", "--output", "stopped"],
        cwd=home,
        env={**os.environ, "HMAR_CACHE": str(home / "cache")},
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores Ctrl-C, and so do its child processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (home / "stopped" / "history.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert re.search(r"interrupted after \d+ finished epochs; .* --output stopped --resume", stderr)


def test_help_does_not_import_tensorflow(hmar):
    code = "import sys; from pipelines.cli.app import app; print('tensorflow' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert process.stdout.strip() == "False"
    process = hmar("--help")
    assert process.returncode == 0
    for command in ("run", "train", "evaluate", "export", "recommend"):
        assert re.search(rf"│ {command} ", process.stdout)
    assert "movielens" in hmar("train", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "--dataset", "nothing"], ["unknown dataset 'nothing'", "movielens"]),
        (["train", "--dataset", "movielens/2m"], ["movielens/1m"]),
        (["train", "--dataset", "ijcai15"], ["ijcai15", "IJCAI_15.zip"]),
        (["train", "--dataset", "movielens/1m", "--data-dir", "nowhere"], ["nowhere"]),
        (["train", *TINY, "--set", "dim=7", "--set", "num_heads=2"], ["num_heads", "7"]),
        (["train", *TINY, "--set", "alpha.like=1"], ["'like'", "view, favorite, cart, buy"]),
        (["train", *TINY, "--preset", "amazon"], ["amazon", "taobao"]),
        (["train", *TINY, "--config", "none.json"], ["none.json"]),
        (["evaluate", "nowhere"], ["nowhere", "run.json"]),
        (["export", "nowhere"], ["nowhere", "run.json"]),
        (["recommend", "--model", "nowhere", "--history", "1:view"], ["nowhere"]),
    ],
)
def test_bad_input_is_one_sentence(hmar, arguments, parts):
    before = sorted(path.name for path in hmar.home.iterdir())
    output = ["--output", "bad"] if arguments[0] == "train" else []
    fails(hmar(*arguments, *output), *parts)
    after = sorted(path.name for path in hmar.home.iterdir())
    assert [name for name in after if name != "cache"] == [n for n in before if n != "cache"]


def test_an_existing_run_is_kept(hmar, finished):
    before = (hmar.home / "first" / "history.json").read_text()
    fails(hmar("train", *TINY, *SMALL, "--output", "first"), "first exists", "--resume")
    assert (hmar.home / "first" / "history.json").read_text() == before


def test_unwritable_places_are_named_before_any_training(hmar):
    (hmar.home / "file").touch()
    fails(hmar("train", *TINY, "--output", "file/run"), "file/run", "cannot be written")
    fails(hmar("run", *TINY, "--models", "file/models", "--output", "bad"), "file/models")
    fails(hmar("train", *TINY, "--output", "bad", HMAR_CACHE="file/cache"), "file/cache")
    assert not (hmar.home / "bad").exists()


def test_another_backend_is_refused(hmar):
    fails(hmar("train", *TINY, KERAS_BACKEND="torch"), "tensorflow and jax", "KERAS_BACKEND")


def test_hardware_is_recorded_and_may_change_but_for_the_precision(hmar, finished):
    common = ["train", *TINY, *SMALL, "--seed", "1", "--output", "hardware"]
    bfloat16 = ["--precision", "mixed_bfloat16"]
    # The dataset of a new run is loaded only once, before the run exists.
    with mock.patch("pipelines.workflow.runs.load_run_dataset", side_effect=AssertionError):
        process = hmar(*common, *bfloat16, "--epochs", 1)
    assert process.returncode == 0, process.stderr
    fails(hmar(*common, "--resume"), "--precision mixed_bfloat16", "keep it")
    process = hmar(*common, *bfloat16, "--steps-per-execution", 2, "--resume")
    assert process.returncode == 0, process.stderr
    first, second = json.loads((hmar.home / "hardware" / "run.json").read_text())["hardware"]
    assert first == {
        **{"after_epoch": 0, "backend": "tensorflow", "accelerator": False},
        **{"devices": 1, "precision": "mixed_bfloat16"},
        **{"jit_compile": False, "steps_per_execution": 1, "data_on_device": False},
    }
    assert second == {**first, "after_epoch": 1, "steps_per_execution": 2}
    (only,) = json.loads((hmar.home / "first" / "run.json").read_text())["hardware"]
    assert only == {**first, "precision": "float32"}


def test_another_model_goes_the_whole_way(hmar, finished):
    """Trains, resumes, evaluates and exports SASRec, without a behaviour head, on target events."""
    asked = ["run", *TINY, "--set", "dim=8", "--model", "sasrec", "--set", "input_behaviors=target"]
    process = hmar("train", *asked[1:], "--epochs", 1, "--output", "sasrec")
    assert process.returncode == 0, process.stderr
    fails(hmar("train", *TINY, "--model", "gsasrec", "--output", "sasrec", "--resume"), "--model")
    process = hmar(*asked, "--epochs", 2, "--output", "sasrec", "--models", "other", "--resume")
    assert process.returncode == 0, process.stderr
    metrics = json.loads((hmar.home / "sasrec" / "metrics.json").read_text())
    assert "SASRec" in metrics["test"]
    assert "HMAR" not in metrics["test"]
    history = json.loads((hmar.home / "sasrec" / "history.json").read_text())
    assert len(history) == 2
    assert {"ranking_loss", "ranking_hr@10", "loss"} <= set(history[-1])
    model = hmar.home / "other" / "synthetic_shop-tiny" / "1"
    assert set(tf.saved_model.load(str(model)).signatures) == {
        *("serving_default", "recommend", "examples", "rank", "explain", "reasons"),
    }
    # It sees only the target behaviour: a view changes nothing, a purchase does.
    answers = [
        hmar("recommend", "--model", model, "--history", history).stdout
        for history in ("3:buy,4:buy", "3:buy,7:view,4:buy", "3:buy,7:buy,4:buy")
    ]
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--precision", "float8"], ["float8", "mixed_bfloat16"]),
        (["--devices", "2", "--xla"], ["XLA", "KERAS_BACKEND=jax"]),
        (["--devices", "64"], ["started", "64"]),
    ],
)
def test_hardware_that_cannot_be_had_is_one_sentence(hmar, finished, options, parts):
    fails(hmar("train", *TINY, *options, "--output", "bad"), *parts)
    assert not (hmar.home / "bad").exists()


@pytest.mark.backends
def test_jax_trains_evaluates_and_exports(home, finished):
    """TensorFlow writes the SavedModel, in a separate process."""
    code = "from pipelines.cli.app import main; main()"
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "run",
            *TINY,
            *SMALL,
            "--data-on-device",
            "--steps-per-execution",
            "5",
            "--output",
            "jax",
            "--models",
            "jax-models",
        ],
        cwd=home,
        env={**os.environ, "HMAR_CACHE": str(home / "cache"), "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    (used,) = json.loads((home / "jax" / "run.json").read_text())["hardware"]
    assert used["backend"] == "jax"
    assert used["jit_compile"]
    assert used["data_on_device"]
    assert used["steps_per_execution"] == 5
    metrics = json.loads((home / "jax" / "metrics.json").read_text())
    history = json.loads((home / "jax" / "history.json").read_text())
    best = history[metrics["best_epoch"] - 1]
    for protocol, values in metrics["validation"]["HMAR"].items():
        assert values["ndcg@10"] == pytest.approx(best[f"val_{protocol}_ndcg@10"], abs=1e-9)
    answer = [line.split("\t") for line in process.stdout.splitlines() if "\t" in line]
    assert len(answer) == 5
    assert (home / "jax-models" / "synthetic_shop-tiny" / "1" / "saved_model.pb").is_file()


def test_a_log_whose_users_buy_too_little_is_named(hmar):
    source = hmar.home / "few"
    source.mkdir()
    ratings = "".join(f"{user}::{item}::5::{item}\n" for user in (1, 2) for item in (1, 2))
    (source / "ratings.dat").write_text(ratings)
    process = hmar("train", "--dataset", "movielens/1m", "--data-dir", source, "--output", "bad")
    lines = [line for line in process.stderr.splitlines() if line.startswith("hmar: ")]
    assert process.returncode == 2
    assert len(lines) == 1
    assert "no user has 3 events of the target behaviour 'like'" in lines[0]
    assert "Traceback" not in process.stderr
    assert not (hmar.home / "bad").exists()
