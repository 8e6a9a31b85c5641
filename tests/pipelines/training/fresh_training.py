"""Trains in a process of its own, where backend and devices are not settled yet.

    python fresh_training.py PLAN

PLAN is a pickle of a `Plan`'s fields as a dict; histories and checkpoints stay in the directories
of the runs.
"""

import dataclasses
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
        runs: (directory, HMARConfig) each.
        resumed: a directory or None. The last run is copied to it after its first epoch, as a
            process that is killed then would leave it, and trained to its end.
    """

    dataset: object
    hardware: dict
    runs: list
    resumed: object = None


def train_elsewhere(path, backend, plan):
    """Carries out a plan under a backend; `path` is a file to write it to."""
    path.write_bytes(pickle.dumps(vars(plan)))
    process = subprocess.run(
        [sys.executable, __file__, path],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            # The trainings of a plan differ little; JAX shall compile a step only once.
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
    from pipelines.protocol.splits import split
    from pipelines.training.fit import train
    from pipelines.training.run_directory import RunDirectory

    class Copied(RunDirectory):
        def keep_checkpoints(self, last, best):
            super().keep_checkpoints(last, best)
            if plan.resumed and last == 1 and self.path == plan.runs[-1][0]:
                shutil.copytree(self.path, plan.resumed)

    splits = split(plan.dataset)
    for directory, config in plan.runs:
        train(splits, config, Copied.create(directory, {}, config), 0, hardware)
    if plan.resumed:
        train(splits, config, RunDirectory(plan.resumed), 0, hardware)


if __name__ == "__main__":
    main()
