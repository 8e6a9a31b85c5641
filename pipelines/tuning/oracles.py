"""KerasTuner's oracles, made to survive kills at any moment and workers that die."""

from __future__ import annotations

from pathlib import Path

import keras_tuner
from keras_tuner.engine import trial as trial_module
from keras_tuner.oracles import BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle

from pipelines.storage.artefacts import check, reading, write_json
from pipelines.tuning.space import SearchSpace

ALGORITHMS = ("random", "bayesian", "hyperband")
COMPLETED, FAILED = trial_module.TrialStatus.COMPLETED, trial_module.TrialStatus.FAILED
_MOST_DEATHS = 2  # of workers within one trial, before it counts as failed
_DEATHS = "deaths"


class _Durable:
    """A mixin that makes an oracle of KerasTuner 1.4.8 durable; must be the first base.

    - Files are written atomically.
    - After a kill, exactly the unfinished trials run again; KerasTuner itself also repeats a trial
      that ended just before the kill.
    - A trial in which workers keep dying, e.g. for lack of memory, is recorded as failed.
    - The first trial has the settings that the search begins with, so that the best is no worse.
    """

    def __init__(self, *args, **kwargs):
        self._deaths = {}
        super().__init__(*args, **kwargs)

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        """Returns a trial for a worker."""
        trial = self.ongoing_trials.get(tuner_id)
        if trial is None:
            return super().create_trial(tuner_id)
        # A worker that asks while it has a trial is a new process in place of one that died.
        self._deaths[trial.trial_id] = self._deaths.get(trial.trial_id, 0) + 1
        if self._deaths[trial.trial_id] < _MOST_DEATHS:
            self.save()
            return trial
        trial.status = FAILED
        self.end_trial(trial)
        return super().create_trial(tuner_id)

    @keras_tuner.synchronized
    def end_trial(self, trial):
        """Records how a trial ended, unless another worker has done so."""
        own = self.trials[trial.trial_id]
        if own.status in (COMPLETED, FAILED) and own is not trial:
            return
        self._retry_queue = [each for each in self._retry_queue if each != trial.trial_id]
        super().end_trial(trial)

    def _random_values(self):
        if not self.trials:
            return {hp.name: hp.default for hp in self.hyperparameters.space}
        return super()._random_values()

    def save(self):
        """Writes the state to disk."""
        _write(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial):
        _write(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self):
        """Restores the state from disk.

        Raises:
            InputError: if a file is damaged.
        """
        path = Path(self._get_oracle_fname())
        advice = "restore it, or start a new search"
        for each in path.parent.glob("trial_*/trial.json"):
            check(each, advice)
        with reading(path, advice):
            super().reload()
            self._catch_up()

    def _catch_up(self):
        """Updates the state from the trials' own files, which are written first."""
        # After a kill between the two, a trial that the state does not know was never created.
        self.trials = {each: self.trials[each] for each in self.start_order}
        ended = [each for each, trial in self.trials.items() if trial.status in (COMPLETED, FAILED)]
        # For a trial whose end the state does not know, do what would have come next.
        missed = [each for each in ended if each not in self.end_order]
        self.end_order += missed
        for each in missed:
            self._run_times[each] += 1
        if missed:
            self.ongoing_trials, self._retry_queue = self._before_reload
            self._retry_queue = [each for each in self._retry_queue if each not in ended]
            self.save()
        self._retry_queue = [each for each in reversed(self.start_order) if each not in ended]
        self.ongoing_trials = {}

    def get_state(self):
        """Returns the content of `oracle.json`."""
        state = super().get_state()
        return {**state, "tried_so_far": sorted(state["tried_so_far"]), _DEATHS: self._deaths}

    def set_state(self, state):
        """Restores what `get_state` returned."""
        super().set_state(state)
        # Kept because KerasTuner's `reload` queues running trials to run again.
        self._before_reload = dict(self.ongoing_trials), list(self._retry_queue)
        self._deaths = dict(state[_DEATHS])


class RandomOracle(_Durable, RandomSearchOracle):
    """Random search: draws each trial independently."""


class BayesianOracle(_Durable, BayesianOptimizationOracle):
    """Bayesian optimisation: chooses each trial by the scores of those that ended."""


class SuccessiveHalvingOracle(_Durable, HyperbandOracle):
    """Hyperband: many trials of a few epochs, of which the better ones are continued."""


def make_oracle(
    algorithm: str, space: SearchSpace, objective: str, max_trials: int, seed: int
) -> keras_tuner.Oracle:
    """Builds the oracle of a search.

    Args:
        algorithm: one of `ALGORITHMS`.
        space: the searched settings.
        objective: name of a number in a run's history; higher is better.
        max_trials: maximum number of trials, including those that continue another one.
        seed: seed of the draws.
    """
    hyperparameters = keras_tuner.HyperParameters()
    space.declare(hyperparameters)
    common = {
        "objective": keras_tuner.Objective(objective, "max"),
        "hyperparameters": hyperparameters,
        "seed": seed + 1,  # KerasTuner treats 0 as no seed
        # KerasTuner would raise without releasing a lock; `search` watches for failures instead.
        "max_consecutive_failed_trials": None,
    }
    if algorithm == "random":
        return RandomOracle(max_trials=max_trials, **common)
    if algorithm == "hyperband":
        oracle = SuccessiveHalvingOracle(max_epochs=space.base.training.epochs, **common)
        oracle.max_trials = max_trials
        return oracle
    # KerasTuner's default, three per setting, can exceed max_trials: that is a random search.
    points = min(3 * len(space.entries), max(3, max_trials // 3))
    return BayesianOracle(max_trials=max_trials, num_initial_points=points, **common)


def _write(path, state):
    write_json(path, state)
