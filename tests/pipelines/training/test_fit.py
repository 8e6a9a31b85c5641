import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from hmar_keras.losses import BehaviorLoss
from hmar_keras.models import HMAR, compile_arguments
from pipelines.evaluation.evaluator import Evaluator, model_scorer, validation_score
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware
from pipelines.storage.artefacts import written_at_once
from pipelines.training.fit import _is_finished, best_epoch, train
from pipelines.training.host_batches import TrainingData, evaluation_dataset
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory
from pipelines.training.validation import MONITORED, LossOverEvents, Validation

from ..asked_models import data_of
from ..runs import kill_after, last_state, without_times


def weights_of(model):
    return [np.asarray(weight) for weight in model.get_weights()]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def run_once(path, log, config, epochs=None, seed=0, hardware=None):
    config = config if epochs is None else config.replace(epochs=epochs)
    run = RunDirectory.create(path, {}, config)
    return run, train(split(log), config, run, seed, hardware)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, log):
    """Returns an uninterrupted run of four epochs, its model, and the state of its last epoch."""
    config = small_config(log)
    run, model = run_once(tmp_path_factory.mktemp("whole") / "run", log, config)
    return run, model, last_state(run)


def small_config(log):
    return RunConfig.of(
        log.num_items, log.behaviors, dim=8, max_length=6, batch_size=16, epochs=4, dropout=0.3
    )


def test_a_run_leaves_what_it_promises(whole, log):
    run, model, _ = whole
    history = run.history()
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4]
    assert all(np.isfinite(value) for entry in history for value in entry.values())
    kept = sorted(path.name for path in (run.path / "checkpoints").glob("*.h5"))
    best = best_epoch(history)
    assert kept == sorted({run.checkpoint(best).name, run.checkpoint(4).name})
    assert list(run.tensorboard.rglob("events.out.tfevents*"))
    loaded = keras.saving.load_model(run.model)
    assert same(weights_of(loaded), weights_of(model))
    assert getattr(loaded, "optimizer", None) is None  # its moments would triple the file
    splits = split(log)
    results = Evaluator(log, splits.validation, 0)(model_scorer(loaded, log))
    assert validation_score(results) == pytest.approx(history[best - 1][MONITORED], abs=1e-9)
    assert results["sampled"]["hr@10"] == history[best - 1]["val_sampled_hr@10"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(whole, tmp_path, log):
    run, model, _ = whole
    again, model_again = run_once(tmp_path / "again", log, small_config(log))
    assert same(weights_of(model), weights_of(model_again))
    assert without_times(run) == without_times(again)
    other, _ = run_once(tmp_path / "other", log, small_config(log), epochs=1, seed=1)
    assert other.history()[0]["loss"] != run.history()[0]["loss"]


@pytest.mark.slow
def test_the_step_is_traced_once(tmp_path, log, monkeypatch):
    step, traces = HMAR.train_step, []
    monkeypatch.setattr(HMAR, "train_step", lambda *args: traces.append(1) or step(*args))
    run_once(tmp_path / "run", log, small_config(log), epochs=2)
    assert len(traces) == 1


@pytest.mark.parametrize("stop", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_resuming_is_exact(whole, tmp_path, log, stop):
    run, model, state = whole
    config = small_config(log)
    partial, _ = run_once(tmp_path / "partial", log, config, epochs=stop)
    assert len(partial.history()) == stop
    resumed = train(split(log), config, partial, 0)
    assert without_times(partial) == without_times(run)
    assert same(weights_of(resumed), weights_of(model))
    state_again = last_state(partial)
    assert state.keys() == state_again.keys()
    assert any("optimizer" in name for name in state)
    differing = [name for name in state if not np.array_equal(state[name], state_again[name])]
    # Even dropout's random states agree, because they are reset in every epoch.
    assert differing == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_validates_and_resumes(whole, tmp_path, log, precision):
    config, hardware = small_config(log).replace(epochs=3), Hardware(precision=precision)
    run, model = run_once(tmp_path / "run", log, config, hardware=hardware)
    losses = [entry["loss"] for entry in run.history()]
    exact = [entry["loss"] for entry in whole[0].history()[:3]]
    assert losses != exact
    assert losses == pytest.approx(exact, rel=0.02)
    # The saved weights are float32, and they are the validated ones.
    assert {weight.dtype for weight in weights_of(model)} == {np.dtype("float32")}
    results = Evaluator(log, split(log).validation, 0)(model_scorer(model, log))
    best = run.history()[best_epoch(run.history()) - 1]
    assert results["full"]["ndcg@10"] == best["val_full_ndcg@10"]

    partial, _ = run_once(tmp_path / "partial", log, config, epochs=1, hardware=hardware)
    resumed = train(split(log), config, partial, 0, hardware)
    assert without_times(partial) == without_times(run)
    assert same(weights_of(resumed), weights_of(model))
    state, state_again = last_state(run), last_state(partial)
    assert [name for name in state if not np.array_equal(state[name], state_again[name])] == []
    scales = [value for value in state.values() if value.shape == () and value == 2.0**15]
    assert bool(scales) == (precision == "mixed_float16")


@pytest.mark.slow
def test_steps_per_execution_change_nothing(whole, tmp_path, log):
    config = small_config(log).replace(epochs=2)
    steps = data_of(TrainingData, split(log), config).steps_per_epoch
    run, _ = run_once(tmp_path / "run", log, config, hardware=Hardware(steps_per_execution=steps))
    for entry, expected in zip(without_times(run), without_times(whole[0]), strict=False):
        assert entry == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_that_is_compiled_for_each_length_meets_few(monkeypatch, tmp_path, log, compiled):
    asked = []

    class Watched(TrainingData):
        def __init__(self, *arguments, few_lengths):
            asked.append(few_lengths)
            super().__init__(*arguments, few_lengths=few_lengths)

    monkeypatch.setattr("pipelines.training.fit.TrainingData", Watched)
    hardware = Hardware(jit_compile=compiled)
    run_once(tmp_path / "run", log, small_config(log), epochs=1, hardware=hardware)
    assert asked == [compiled]


def test_the_reported_loss_is_a_mean_over_events():
    """Batching does not matter: padded rows and other lengths change nothing."""
    loss, rng = BehaviorLoss(), np.random.default_rng(0)
    truth, logits = rng.integers(0, 4, (5, 6)), rng.normal(size=(5, 6, 3)).astype("float32")
    truth[0] = 0
    truth[1:3, :4] = 0
    metric = LossOverEvents(loss)
    metric.update_state(truth[:1], logits[:1])
    metric.update_state(truth[1:3, 4:], logits[1:3, 4:])
    metric.update_state(truth[3:], logits[3:])
    assert float(metric.result()) == pytest.approx(float(loss(truth, logits)), rel=1e-6)


@pytest.mark.process
def test_a_killed_run_resumes_exactly(tmp_path, log):
    """SIGKILL in the middle of an epoch, to a command in another process."""
    environment = {**os.environ, "HMAR_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", "from pipelines.cli.app import main; main()", "train"]
    command += ["--dataset", "synthetic_shop/tiny", "--set", "dim=8", "--set", "max_length=8"]
    command += ["--set", "patience=100"]

    def outcome(path):
        run = RunDirectory.open(path)
        return without_times(run), weights_of(keras.saving.load_model(run.model))

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(
        [*command, "--epochs", "6", "--output", whole], env=environment, check=True, timeout=300
    )
    forever = [*command, "--epochs", "100000", "--output", killed]
    kill_after(3, killed / "history.json", forever, env=environment)
    finished = len(RunDirectory.open(killed).history())
    if finished > 6:
        pytest.skip("this machine trained past the epochs to compare before it could be killed")
    resume = [*command, "--epochs", "6", "--output", killed, "--resume"]
    subprocess.run(resume, env=environment, check=True, timeout=300)
    histories, weights = zip(outcome(whole), outcome(killed), strict=True)
    assert histories[0] == histories[1]
    assert same(*weights)
    leftovers = [path.name for path in killed.rglob(".*")]
    assert leftovers == []


def test_the_seed_and_the_epoch_decide_the_dropout(log):
    config, splits = small_config(log), split(log)
    model = config.build_model()
    layers = [each for each in model._flatten_layers() if isinstance(each, keras.layers.Dropout)]

    def states(seed, epoch):
        validation = Validation(splits, config, seed)
        validation.set_model(model)
        validation.on_epoch_begin(epoch)
        return [tuple(np.asarray(each.seed_generator.state).tolist()) for each in layers]

    found = [states(seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({state for each in found for state in each}) == 3 * len(layers)
    assert states(0, 1) == found[1]


@pytest.mark.slow
def test_training_stops_when_validation_does_not_improve(tmp_path, log):
    config = small_config(log).replace(learning_rate=1e-12, patience=2, epochs=50)
    run, _ = run_once(tmp_path / "run", log, config)
    assert len(run.history()) == best_epoch(run.history()) + 2
    # Training a finished run changes nothing.
    before = run.history()
    train(split(log), config, run, 0)
    assert run.history() == before


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], False),
        ([0.3, 0.1], False),
        ([0.3, 0.1, 0.2], True),  # two epochs without a better score
        ([0.1, 0.2, 0.3, 0.2], False),
        ([0.1, 0.2, 0.3, 0.4, 0.5], True),  # all epochs
    ],
)
def test_a_run_ends_where_patience_or_epochs_do(config, scores, expected):
    training = config.training.replace(patience=2, epochs=5)
    assert _is_finished([{MONITORED: score} for score in scores], training) is expected


def test_the_best_epoch_is_the_earliest_of_equals():
    assert best_epoch([{MONITORED: 0.1}, {MONITORED: 0.3}, {MONITORED: 0.3}]) == 2


@pytest.mark.slow
def test_stock_fit_with_validation_data(log):
    """The same as in a script that does not use the project's training loop."""
    config, splits = small_config(log), split(log)
    model = HMAR(config.model)
    model.compile(**compile_arguments(model, config.training))
    data = TrainingData(splits, model, config.training, seed=0)
    questions = evaluation_dataset(splits, splits.validation, model, 16, seed=0)
    history = model.fit(
        data.dataset(epochs=2),
        epochs=2,
        steps_per_epoch=data.steps_per_epoch,
        validation_data=questions,
        verbose=0,
    ).history
    results = Evaluator(log, splits.validation, seed=0)(model_scorer(model, log))
    for metric in ("hr@10", "ndcg@10"):
        expected = results["sampled"][metric]
        assert history[f"val_ranking_{metric}"][-1] == pytest.approx(expected, abs=1e-6)


def test_a_run_directory_is_not_overwritten(tmp_path, config):
    RunDirectory.create(tmp_path / "run", {}, config)
    with pytest.raises(InputError, match="--resume"):
        RunDirectory.create(tmp_path / "run", {}, config)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="exists"):
        RunDirectory.create(tmp_path / "file", {}, config)


def test_broken_files_of_a_run_are_named(tmp_path, config):
    with pytest.raises(InputError, match="not the directory of a run"):
        RunDirectory.open(tmp_path)
    run = RunDirectory.create(tmp_path / "run", {}, config)
    assert run.config() == config
    (run.path / "config.json").write_text('{"dim": ')
    with pytest.raises(InputError, match=r"config\.json is not valid JSON"):
        run.config()
    run.write_json("config.json", {**config.to_dict(), "num_heads": 3})
    with pytest.raises(InputError, match="num_heads must divide dim"):
        run.config()
    with pytest.raises(InputError, match=r"metrics\.json is missing"):
        run.read_json("metrics.json")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), written_at_once(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]
    assert path.read_text() == "old"
    with open(path) as reader:  # in the middle of the old file
        with written_at_once(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
