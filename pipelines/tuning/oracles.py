"""KerasTuner's oracles, made to survive a kill at any moment and workers that die."""

from __future__ import annotations

from pathlib import Path

import keras_tuner
from keras_tuner.engine import trial as trial_module
from keras_tuner.oracles import BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle

from pipelines.storage.artefacts import check, reading, write_json
from pipelines.tuning.space import SearchSpace

ALGORITHMS = ("random", "bayesian", "hyperband")
COMPLETED, FAILED = trial_module.TrialStatus.COMPLETED, trial_module.TrialStatus.FAILED
_MOST_DEATHS = 2  # of workers within one trial, before it is left alone
_DEATHS = "deaths"


class _Durable:
    """What KerasTuner 1.4.8 leaves open: to be the first base of one of its oracles.

    - Its files are written at once or not at all.
    - After a kill every trial that has not ended is run again, and none that has: KerasTuner
      itself repeats a trial that ended just before.
    - A trial in which workers die, as they do where memory runs out, is recorded as failed.
    - The first trial is where the search begins, so that the best is no worse.
    """

    def __init__(self, *args, **kwargs):
        self._deaths = {}
        super().__init__(*args, **kwargs)

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        """A trial for a worker."""
        trial = self.ongoing_trials.get(tuner_id)
        if trial is None:
            return super().create_trial(tuner_id)
        # It asks for another before it has ended this one: it is a new process in its place.
        self._deaths[trial.trial_id] = self._deaths.get(trial.trial_id, 0) + 1
        if self._deaths[trial.trial_id] < _MOST_DEATHS:
            self.save()
            return trial
        trial.status = FAILED
        self.end_trial(trial)
        return super().create_trial(tuner_id)

    @keras_tuner.synchronized
    def end_trial(self, trial):
        """Records how a trial ended, unless another worker has been faster."""
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
        """Writes the state."""
        _write(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial):
        _write(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self):
        """Goes on from what is on disk.

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
        """Brings the state in line with the trials' own files, which are written first."""
        # Killed in between, a trial has never been created.
        self.trials = {each: self.trials[each] for each in self.start_order}
        ended = [each for each, trial in self.trials.items() if trial.status in (COMPLETED, FAILED)]
        # Or it has ended: what would have been written next is written now.
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
        """What `oracle.json` holds."""
        state = super().get_state()
        return {**state, "tried_so_far": sorted(state["tried_so_far"]), _DEATHS: self._deaths}

    def set_state(self, state):
        """The reverse of `get_state`."""
        super().set_state(state)
        # KerasTuner puts what was running in line to be run again.
        self._before_reload = dict(self.ongoing_trials), list(self._retry_queue)
        self._deaths = dict(state[_DEATHS])


class RandomOracle(_Durable, RandomSearchOracle):
    """Every trial drawn by itself."""


class BayesianOracle(_Durable, BayesianOptimizationOracle):
    """The more trials have ended, the better the next is chosen."""


class SuccessiveHalvingOracle(_Durable, HyperbandOracle):
    """Many trials of a few epochs, of which the better ones go on."""


def make_oracle(
    algorithm: str, space: SearchSpace, objective: str, max_trials: int, seed: int
) -> keras_tuner.Oracle:
    """The oracle of a search.

    Args:
        algorithm: one of `ALGORITHMS`.
        space: what is searched.
        objective: name of a number in a run's history, higher is better.
        max_trials: at most this many, those that go on with another counted, too.
        seed: of the draws.
    """
    hyperparameters = keras_tuner.HyperParameters()
    space.declare(hyperparameters)
    common = {
        "objective": keras_tuner.Objective(objective, "max"),
        "hyperparameters": hyperparameters,
        "seed": seed + 1,  # KerasTuner takes 0 for none
        # It would raise within a lock that is never released; `search` watches failures.
        "max_consecutive_failed_trials": None,
    }
    if algorithm == "random":
        return RandomOracle(max_trials=max_trials, **common)
    if algorithm == "hyperband":
        oracle = SuccessiveHalvingOracle(max_epochs=space.base.training.epochs, **common)
        oracle.max_trials = max_trials
        return oracle
    # KerasTuner's default, three for each setting, can be more than all trials: a random search.
    points = min(3 * len(space.entries), max(3, max_trials // 3))
    return BayesianOracle(max_trials=max_trials, num_initial_points=points, **common)


def _write(path, state):
    write_json(path, state)
