"""Trains in a new process, where backend and devices can still be chosen.

    python fresh_training.py PLAN

PLAN is a pickle of a `Plan`'s fields as a dict; histories and checkpoints stay in the directories
of the runs.
"""

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys


@dataclasses.dataclass
class Plan:
    """What to train.

    Args:
        dataset: an `InteractionDataset`.
        hardware: arguments of `Hardware`.
        runs: a list of (directory, settings as a dict).
        resumed: a second directory, by the directory of a run. After its first epoch, the run is
            copied there as a killed process would leave it, and then trained to its end.
        files: files that register custom models.
    """

    dataset: object
    hardware: dict
    runs: list
    resumed: dict = dataclasses.field(default_factory=dict)
    files: list = dataclasses.field(default_factory=list)


def train_elsewhere(path, backend, plan):
    """Carries out a plan with a backend; `path` is a file to write it to."""
    path.write_bytes(pickle.dumps(vars(plan)))
    process = subprocess.run(
        [sys.executable, __file__, path],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "HMAR_IMPORT": json.dumps([str(file) for file in plan.files]),
            # The trainings of a plan are similar, so JAX need not compile their steps again.
            "JAX_COMPILATION_CACHE_DIR": str(path.parent / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr


def main():
    from pipelines.runtime.hardware import Hardware
    from pipelines.runtime.terminal import prepare_keras

    with open(sys.argv[1], "rb") as file:
        plan = Plan(**pickle.load(file))
    hardware = Hardware(**plan.hardware)
    prepare_keras(hardware)
    from pipelines.evaluation.evaluator import Evaluator
    from pipelines.evaluation.scoring import model_scorer
    from pipelines.protocol.splits import split
    from pipelines.training.fit import train
    from pipelines.training.run_config import RunConfig
    from pipelines.training.run_directory import RunDirectory

    class Copied(RunDirectory):
        def keep_checkpoints(self, last, best):
            super().keep_checkpoints(last, best)
            if last == 1 and self.path in plan.resumed:
                shutil.copytree(self.path, plan.resumed[self.path])

    splits = split(plan.dataset)
    for directory, settings in plan.runs:
        config = RunConfig.from_dict(settings)
        model = train(splits, config, Copied.create(directory, {}, config), 0, hardware)
        results = Evaluator(plan.dataset, splits.test, 0)(model_scorer(model, plan.dataset))
        (directory / "results.json").write_text(json.dumps(results))
        if directory in plan.resumed:
            train(splits, config, RunDirectory(plan.resumed[directory]), 0, hardware)


if __name__ == "__main__":
    main()
