"""Damaged files of a run, export, experiment, tuning or cache: one sentence or the right result.

Files are damaged in one of the ways of `damage.damages` and read by the code of the commands; a
seed chooses both. HMAR_TEST_DAMAGE=N tests every file and every way, with N seeds.
"""

import csv
import functools
import os
import random
import shutil
from pathlib import Path
from unittest import mock

import h5py
import keras
import pytest

from pipelines.datasets import load_log, load_prepared
from pipelines.datasets.event_log import LogSpec
from pipelines.experiments import request as experiments
from pipelines.export.loaded_export import Recommender
from pipelines.report.experiment import read_experiment
from pipelines.report.experiment_report import experiment_sections
from pipelines.report.opened_run import open_run
from pipelines.runtime.errors import InputError
from pipelines.training import fit as training
from pipelines.training.run_directory import RunDirectory
from pipelines.tuning.request import Asked, create, read_tuning, resumed
from pipelines.tuning.trial_runner import TrialRunner, trial_directory
from pipelines.tuning.trials import read_trials, write_trials
from pipelines.workflow import run_data
from pipelines.workflow import runs as workflow
from pipelines.workflow.request import Request

from .damage import damages, files_of, put

pytestmark = pytest.mark.slow

ALL = int(os.environ.get("HMAR_TEST_DAMAGE", "0"))
WAYS = 100 if ALL else 1  # per file
FILES = 1000 if ALL else 8  # per reader
SMALL = ("dim=4", "max_length=6", "batch_size=16", "learning_rate=0.05", "patience=50")


class Trees:
    """One directory of each kind, made once."""

    def __init__(self, home, log):
        self.home = home
        self.cache = home / "cache"
        lines = ["who,what,did,at"]
        for row in range(log.num_users):
            for event in range(log.offsets[row], log.offsets[row + 1]):
                did = log.behaviors.names[log.behavior_ids[event] - 1]
                lines.append(f"u{row},i{log.item_ids[event]},{did},{event}")
        (home / "log.csv").write_text("\n".join(lines) + "\n")
        columns = {"user": "who", "item": "what", "behavior": "did", "time": "at"}
        self.spec = LogSpec(
            (str(home / "log.csv"),), **columns, target="buy", behaviors=("view", "cart", "buy")
        )
        self.dataset = load_log(self.spec)
        run, _ = workflow.start(self.request(epochs=3), home / "run")
        model = workflow.train_run(run, self.dataset)
        workflow.evaluate_run(run, self.dataset, model)
        workflow.export_run(run, self.dataset, model, home / "export")
        experiment, _ = experiments.create(
            self.request(epochs=3), home / "experiment", ["protocol"], 1
        )
        # The settings are the same, so the run is not trained again.
        shutil.copytree(run.path, home / "experiment" / "runs" / "hmar-0")
        experiment.run(lambda line: None)
        asked = Asked("random", None, 1, None, ("theta",))
        tuning, _ = create(self.request(epochs=3), asked, home / "tuning")
        shutil.copytree(run.path, trial_directory(tuning.path, "0") / "run")
        self.search(tuning)
        self._make_other(run, model)

    def _make_other(self, run, model):
        """Makes valid files like those of the run, with other contents."""
        other = RunDirectory(self.home / "other")
        shutil.copytree(run.path, other.path)
        for path in other.path.rglob("*.h5"):
            with h5py.File(path, "r+") as file:
                file.visititems(negate)
        model.set_weights([-array for array in model.get_weights()])
        model.save(other.model)
        history = [{**epoch, "val_score": 0.5} for epoch in run.history()]
        other.write_json("history.json", history)
        other.write_json("metrics.json", {**run.metrics(), "validation": run.metrics()["test"]})
        other.write_json("run.json", {**run.settings(), "seed": 1})
        other.write_json("config.json", run.config().replace(theta=0.5).to_dict())

    def request(self, **more):
        return Request(None, log=self.spec, assignments=SMALL, **more)

    def search(self, tuning):
        from pipelines.protocol.splits import split

        splits = split(self.dataset, tuning.space.base.split.holdout)
        oracle = tuning.oracle()
        TrialRunner(tuning.path, oracle, tuning.space, splits, tuning.source, 0).search()
        content = tuning.content
        write_trials(tuning.path, read_trials(tuning.path), tuning.space, content["objective"])


@pytest.fixture(scope="module")
def trees(tmp_path_factory, log):
    home = tmp_path_factory.mktemp("trees")
    # A separate reader tests the cache; the others need not read its records every time.
    remembered = functools.cache(lambda name, prepared, spec: load_prepared(name, prepared, spec))
    with (
        mock.patch.dict(os.environ, {"HMAR_CACHE": str(home / "cache")}),
        mock.patch.object(run_data, "load_prepared", remembered),
    ):
        yield Trees(home, log)


def negate(name, node):
    if isinstance(node, h5py.Dataset) and node.dtype.kind == "f":
        node[()] = -node[()]


def weights(model):
    return [array.tobytes() for array in model.get_weights()]


def read_run(trees, path):
    """Returns what evaluate, export, report and a resumed training read."""
    opened = open_run(path)
    results = workflow.validation_results(opened.directory, trees.dataset, opened.model)
    run, dataset = workflow.resume(Request(None), path)
    return [
        opened.config,
        {name: value for name, value in run.settings().items() if name != "hardware"},
        without_times(opened.history),
        weights(opened.model),
        dataset.fingerprint,
        results,
    ]


def resume_run(trees, path):
    """Returns whether a resumed training continues from the intact run's state at that epoch."""
    run, _ = workflow.resume(Request(None, epochs=9), path)
    history, whole = training._continuable(run, run.history()), RunDirectory(trees.home / "run")
    epochs = len(history)  # with none, it starts again
    return history == whole.history()[:epochs] and (
        not epochs or arrays(run.checkpoint(epochs)) == arrays(whole.checkpoint(epochs))
    )


def arrays(path):
    found = {}

    def keep(name, node):
        if isinstance(node, h5py.Dataset):
            found[name] = node[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def read_export(trees, path):
    recommender = Recommender(path)
    return recommender.behaviors, recommender([("i1", "view"), ("i2", "cart")], 5)


def resume_experiment(trees, path):
    experiment, _ = experiments.resumed(Request(None), path)
    return without_times(experiment.run(lambda line: None))


def report_experiment(trees, path):
    experiment = read_experiment(path)
    return repr(experiment_sections(experiment)).replace(str(path), "")


def resume_tuning(trees, path):
    tuning, _ = resumed(Request(None), Asked(), path)
    trees.search(tuning)
    with open(path / "trials.csv", newline="") as file:
        return without_times(list(csv.DictReader(file)))


def report_tuning(trees, path):
    tuning = read_tuning(path)
    return [
        (each.trial_id, each.status, each.values, each.score, without_times(each.history))
        for each in read_trials(path)
    ], tuning.space.to_dict()


def read_cache(trees, path):
    with mock.patch.dict(os.environ, {"HMAR_CACHE": str(path)}):
        dataset = load_log(trees.spec)
        copy = load_prepared(dataset.name, dataset.prepared, trees.spec)
    return dataset.fingerprint, dataset.report, dataset.name, copy.fingerprint


def without_times(value):
    if isinstance(value, dict):
        left_out = ("seconds", "created")
        return {key: without_times(v) for key, v in value.items() if key not in left_out}
    return [without_times(each) for each in value] if isinstance(value, list) else value


READERS = [
    ("run", read_run), ("run", resume_run), ("export/1", read_export),
    ("experiment", resume_experiment), ("experiment", report_experiment),
    ("tuning", resume_tuning), ("tuning", report_tuning), ("cache", read_cache),
]  # fmt: skip


def others_of(trees, tree, name):
    """Returns valid files that could end up in place of a file."""
    path = trees.home / tree / name
    other = trees.home / "other" / name
    siblings = sorted(path.parent.glob(f"*{path.suffix}"))
    siblings = [each for each in siblings if each.name != path.name]
    return [*([other] if tree == "run" else []), *siblings[:1]]


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("seed", range(ALL or 1))
@pytest.mark.parametrize(("tree", "read"), READERS, ids=lambda each: getattr(each, "__name__", ""))
def test_one_sentence_or_the_right_result(trees, tmp_path, tree, read, seed, checked):
    rng = random.Random(seed)
    whole, copied = trees.home / tree, tmp_path / Path(tree).name
    shutil.copytree(whole, copied)
    expected = read(trees, copied)
    sentences = 0
    names = [
        name
        for name in files_of(whole)
        if (checked or not name.endswith(("sha256", "checksums.json")))
        and (read is not read_run or "checkpoints" not in name)  # `resume_run` tests those
    ]
    for name in rng.sample(names, min(FILES, len(names))):
        ways = list(damages(whole / name, rng, others_of(trees, tree, name)))
        for how, content in rng.sample(ways, min(WAYS, len(ways))):
            shutil.rmtree(copied)
            shutil.copytree(whole, copied)
            put(copied / name, content)
            if not checked:
                forget_checksums(copied)
            keras.utils.clear_session()
            try:
                found = read(trees, copied)
            except InputError as error:
                sentences += 1
                assert len(str(error).splitlines()) == 1
            except Exception as error:
                raise AssertionError(f"{name}, {how}") from error
            else:
                assert not checked or found == expected, f"{name}, {how}"
    assert sentences


def forget_checksums(tree):
    for path in [*tree.rglob("*.sha256"), *tree.rglob("checksums.json")]:
        path.unlink()
