"""How a search handles the errors of a trial."""

import errno
import os
import types

import keras_tuner
import pytest

from pipelines.runtime.errors import InputError
from pipelines.tuning import trial_runner
from pipelines.tuning.trial_runner import TrialRunner


def run_trial(monkeypatch, tmp_path, error):
    """Runs a trial whose training raises an error."""

    def train(*arguments):
        raise error

    monkeypatch.setattr(trial_runner, "train", train)
    values = types.SimpleNamespace(values={})
    trial = types.SimpleNamespace(trial_id="0", hyperparameters=values)
    runner = types.SimpleNamespace(
        directory=tmp_path,
        _space=types.SimpleNamespace(config=lambda values: None),
        _run=lambda *arguments: None,
        _splits=None,
        _seed=0,
        _hardware=None,
    )
    TrialRunner.run_trial(runner, trial)


def no_room():
    error = InputError("the disk has 1 MB free and 17 MB are needed; free 16 MB.")
    error.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (no_room(), "free 16 MB"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "a disk cannot be written"),
    ],
)
def test_a_full_disk_ends_the_search_and_no_trial(monkeypatch, tmp_path, error, words):
    """KerasTuner counts any error as a failed trial, except fatal ones."""
    with pytest.raises(keras_tuner.errors.FatalError, match=words) as raised:
        run_trial(monkeypatch, tmp_path, error)
    assert isinstance(raised.value, InputError)  # one sentence and exit status 2


@pytest.mark.parametrize("error", [InputError("the loss is no number."), ValueError("no")])
def test_settings_that_will_not_do_fail_the_trial_alone(monkeypatch, tmp_path, error):
    with pytest.raises(keras_tuner.errors.FailedTrialError, match=str(error)):
        run_trial(monkeypatch, tmp_path, error)


def test_a_fault_of_the_program_stays_what_it_is(monkeypatch, tmp_path):
    with pytest.raises(TypeError, match="a fault"):
        run_trial(monkeypatch, tmp_path, TypeError("a fault"))
