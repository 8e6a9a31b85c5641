"""Oracles survive kills between writes, workers that die, and two workers at one trial."""

import json
import shutil

import pytest

from hmar_keras.schema import Behaviors
from pipelines.training.run_config import RunConfig
from pipelines.tuning.oracles import ALGORITHMS, make_oracle
from pipelines.tuning.space import SearchSpace
from pipelines.tuning.trials import completed, read_trials

SHOP = Behaviors(("view", "cart", "buy"), target="buy")
TRIALS = 6


def oracle_in(path, algorithm="random"):
    """Returns the oracle of a process that has just started."""
    space = SearchSpace.of(RunConfig.of(30, SHOP, epochs=9), over=["theta", "dim"])
    oracle = make_oracle(algorithm, space, "val_score", TRIALS, seed=0)
    oracle._set_project_dir(path, "search")
    oracle.verbose = 0
    if (path / "search" / "oracle.json").exists():
        oracle.reload()
    return oracle


def end(oracle, trial, score=0.5, status="COMPLETED"):
    if status == "COMPLETED":
        oracle.update_trial(trial.trial_id, {"val_score": score})
    trial.status = status
    oracle.end_trial(trial)


def test_the_first_trial_is_where_the_search_begins(tmp_path):
    values = oracle_in(tmp_path).create_trial("w").hyperparameters.values
    assert values == {"theta": 0.1, "dim": 64}


def test_the_best_trials_have_the_highest_scores(tmp_path):
    oracle = oracle_in(tmp_path)
    for score in (0.3, 0.9, 0.1, 0.9):
        end(oracle, oracle.create_trial("w"), score=score)
    end(oracle, oracle.create_trial("w"), status="FAILED")
    best = [trial.trial_id for trial in oracle.get_best_trials(2)]
    assert best == ["1", "3"]
    assert [trial.trial_id for trial in completed(read_trials(tmp_path))] == ["1", "3", "0", "2"]


@pytest.mark.slow
@pytest.mark.usefixtures("hasty_bayesian")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_killed_before_any_write_the_search_ends_with_as_many_trials(
    tmp_path, algorithm, monkeypatch
):
    """A kill prevents each write of a complete search once."""
    from pipelines.tuning import oracles

    write, states = oracles._write, []

    def remember(path, state):
        number = len(states)
        states.append(number)
        shutil.copytree(tmp_path / "live", tmp_path / f"before-{number}")
        write(path, state)

    monkeypatch.setattr(oracles, "_write", remember)
    oracle = oracle_in(tmp_path / "live", algorithm)
    (tmp_path / "live" / "search").mkdir(parents=True)
    run_to_end(oracle)
    monkeypatch.setattr(oracles, "_write", write)
    expected = ended(tmp_path / "live")
    assert len(expected) == TRIALS
    for number in states[1:]:
        path = tmp_path / f"before-{number}"
        finished = ended(path)
        again = run_to_end(oracle_in(path, algorithm))
        assert len(ended(path)) == TRIALS
        assert not set(again) & set(finished), number  # no finished trial runs again
        if algorithm == "random":
            assert values(path) == values(tmp_path / "live")
            assert state(path) == state(tmp_path / "live"), number


def run_to_end(oracle):
    """Runs all remaining trials and returns their ids."""
    ran = []
    while (trial := oracle.create_trial("w")).status == "RUNNING":
        ran.append(trial.trial_id)
        end(oracle, trial, score=trial.hyperparameters.values["theta"])
    return ran


def stored(path):
    files = sorted((path / "search").glob("trial_*/trial.json"))
    return [json.loads(file.read_text()) for file in files]


def state(path):
    return json.loads((path / "search" / "oracle.json").read_text())


def ended(path):
    return [each["trial_id"] for each in stored(path) if each["status"] == "COMPLETED"]


def values(path):
    return [each["hyperparameters"]["values"] for each in stored(path)]


def test_a_worker_that_comes_back_gets_its_trial_again_and_the_second_time_another(tmp_path):
    oracle = oracle_in(tmp_path)
    first = oracle.create_trial("w")
    assert oracle.create_trial("w").trial_id == first.trial_id
    oracle = oracle_in(tmp_path)  # a stopped chief does not count against the trial
    assert oracle.create_trial("w").trial_id == first.trial_id
    assert oracle.create_trial("w").trial_id != first.trial_id
    assert oracle.trials[first.trial_id].status == "FAILED"


def test_of_two_workers_at_one_trial_the_first_counts(tmp_path):
    oracle = oracle_in(tmp_path)
    slow = oracle.create_trial("slow")
    oracle = oracle_in(tmp_path)  # the chief is killed, but the worker `slow` continues
    fast = oracle.create_trial("fast")
    assert fast.trial_id == slow.trial_id
    end(oracle, fast, score=0.7)
    slow.status = "FAILED"
    oracle.end_trial(slow)
    assert oracle.trials[fast.trial_id].status == "COMPLETED"
    assert oracle.trials[fast.trial_id].score == 0.7
    assert oracle.create_trial("other").trial_id != fast.trial_id


def test_many_failures_do_not_lock_the_chief(tmp_path):
    oracle = oracle_in(tmp_path)
    for _ in range(TRIALS):
        end(oracle, oracle.create_trial("w"), status="FAILED")
    assert oracle.create_trial("w").status == "STOPPED"
