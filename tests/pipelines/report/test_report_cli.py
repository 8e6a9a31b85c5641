"""`hmar report` as a user runs it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from pipelines.report.opened_run import open_run
from pipelines.storage.artefacts import write_json

from ..commands import fails
from .conftest import USERS


@pytest.fixture
def shop(trained, hmar):
    """Copies the run to the directory that the commands run in."""
    directory = hmar.home / "shop"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(trained, directory)
    return directory


def call(hmar, *arguments):
    return hmar("report", *arguments, HMAR_CACHE=os.environ["HMAR_CACHE"])


@pytest.mark.slow
def test_the_page_lies_in_the_run(hmar, shop):
    process = call(hmar, "shop", "--user", "3")
    assert process.returncode == 0, process.stderr
    assert process.stderr.strip() == "report: shop/report.html"
    page = (shop / "report.html").read_text(encoding="utf-8")
    assert "One user: 3" in page
    assert page.startswith("<!doctype html>")
    assert not [path for path in shop.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_names_of_a_log_are_found_as_they_are(hmar, hostile):
    output = hmar.home / "hostile.html"
    process = call(hmar, hostile, "--output", output, "--user", USERS[1])
    assert process.returncode == 0, process.stderr
    assert "One user: O&#39;Brien &amp; &#34;Söhne&#34;" in output.read_text(encoding="utf-8")


def test_the_command_on_the_page_trains_the_same(hostile):
    from pipelines.report.run_sections import training_command

    command = training_command(open_run(hostile))
    assert "--log" in command
    assert "--target 'buy \"now\"'" in command
    assert "--config" in command
    assert "KERAS_BACKEND" not in command


@pytest.mark.parametrize(
    ("used", "option"),
    [
        ({"accelerator": False, "data_on_device": False}, None),
        ({"accelerator": False, "data_on_device": True}, "--data-on-device"),
        ({"accelerator": True, "data_on_device": True}, None),
        ({"accelerator": True, "data_on_device": False}, "--no-data-on-device"),
    ],
)
def test_the_command_says_who_made_the_batches(hostile, used, option):
    from pipelines.report.run_sections import training_command

    run = open_run(hostile)
    run.settings["hardware"] = [{"backend": "jax", "devices": 1, **used}]
    words = training_command(run).split()
    assert words[:3] == ["KERAS_BACKEND=jax", "hmar", "train"]
    assert [word for word in words if word.endswith("data-on-device")] == [option] * bool(option)


def test_bad_input_is_one_sentence(hmar, shop):
    (hmar.home / "file").touch()
    fails(call(hmar, "nowhere"), "nowhere", "run.json")
    fails(call(hmar, "shop", "--user", "nobody"), "nobody")
    fails(call(hmar, "shop", "--output", "file/page.html"), "file/page.html", "--output")
    fails(call(hmar, "shop", "--output", "shop"), "shop is a directory")
    (shop / "model.keras").unlink()
    fails(call(hmar, "shop"), "shop", "--resume")
    (shop / "history.json").unlink()
    fails(call(hmar, "shop"), "shop", "--resume")
    assert not (shop / "report.html").exists()


def test_a_user_without_a_question_is_told(hmar, shop):
    run = open_run(shop)
    asked = set(run.splits.test.users.tolist())
    row = next(row for row in range(run.dataset.num_users) if row not in asked)
    fails(call(hmar, "shop", "--user", run.dataset.users[row]), "no test question")


def test_a_missing_dataset_is_told(hmar, shop):
    settings = json.loads((shop / "run.json").read_text())
    write_json(shop / "run.json", {**settings, "fingerprint": "of another log"})
    fails(call(hmar, "shop"), "has changed since shop was started")
    write_json(shop / "run.json", {**settings, "dataset": "movielens/1m"})
    fails(call(hmar, "shop", "--data-dir", "gone"), "gone")


def test_help_does_not_wait_for_tensorflow_or_matplotlib():
    code = (
        "import sys, pipelines.cli.report; "
        "print({'tensorflow', 'keras', 'matplotlib', 'jinja2'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == "set()", process.stderr
