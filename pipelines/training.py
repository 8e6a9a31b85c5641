"""Training: stock `compile` and `fit`, with validation, checkpoints and exact resumption."""

from __future__ import annotations

import time

import keras
import numpy as np
import tensorflow as tf

from hmar_keras.config import HMARConfig
from hmar_keras.models.hmar import HMAR, compile_arguments
from pipelines.evaluation import Evaluator, model_scorer, validation_score
from pipelines.input_pipeline import TrainingData
from pipelines.progress import TrainingProgress
from pipelines.run_directory import RunDirectory, written_at_once
from pipelines.splits import Splits

MONITORED = "val_score"  # see `evaluation.validation_score`; higher is better


def train(splits: Splits, config: HMARConfig, run: RunDirectory, seed: int) -> HMAR:
    """Trains until the validation score has not improved for `config.patience` epochs.

    Continues after the last finished epoch of the run, with the same result, bit for bit, as if
    it had never been interrupted.

    Args:
        splits: the split dataset.
        config: the settings.
        run: where checkpoints and history are kept.
        seed: of the initial weights, the order, the negatives and the dropout.

    Returns:
        the model with the weights of the best epoch, also saved as `model.keras`.
    """
    keras.utils.set_random_seed(seed)
    model = HMAR(config)
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    # On CPUs XLA makes the training step slower.
    model.compile(**compile_arguments(config), jit_compile="auto" if on_gpu else False)
    history = run.history()
    if history:
        model.optimizer.build(model.trainable_variables)
        model.load_weights(run.checkpoint(len(history)))
    if not _is_finished(history, config):
        run.model.unlink(missing_ok=True)  # of a shorter training
        _fit(model, splits, config, run, seed)
    return save_best(run, config)


def _fit(model, splits, config, run, seed):
    data = TrainingData(splits, config, seed)
    scores = [epoch[MONITORED] for epoch in run.history()]
    progress = TrainingProgress(config.epochs, data.steps_per_epoch, MONITORED, scores)
    try:
        model.fit(
            data.dataset(initial_epoch=len(scores)),
            initial_epoch=len(scores),
            epochs=config.epochs,
            steps_per_epoch=data.steps_per_epoch,
            callbacks=[
                ValidationAndCheckpoint(splits, config, run, seed),
                keras.callbacks.TensorBoard(run.tensorboard, write_graph=False),
                progress,
            ],
            shuffle=False,  # the data comes in the order of the seed
            verbose=0,
        )
    finally:
        progress.close()


def save_best(run: RunDirectory, config: HMARConfig) -> HMAR:
    """Writes `model.keras` with the weights of the best epoch, without the optimiser."""
    model = HMAR(config)
    model.load_weights(run.checkpoint(best_epoch(run.history())))
    with written_at_once(run.model) as temporary:
        model.save(temporary)
    return model


def best_epoch(history: list[dict]) -> int:
    """The epoch (from 1) with the best validation score, the earliest of equals."""
    return int(np.argmax([epoch[MONITORED] for epoch in history])) + 1


def _is_finished(history, config):
    if not history:
        return False
    stale = len(history) - best_epoch(history)
    return stale >= config.patience or len(history) >= config.epochs


class ValidationAndCheckpoint(keras.callbacks.Callback):
    """After every epoch: validate on the whole catalogue, save, and stop when it is time.

    Adds to the logs, for whatever callback follows, `val_PROTOCOL_hr@10`, `val_PROTOCOL_ndcg@10`
    and the score that decides, `val_score`.

    Args:
        splits: the split dataset; only its validation questions are used.
        config: the settings.
        run: where to save.
        seed: of the dropout and of the sampled negatives.
    """

    def __init__(self, splits: Splits, config: HMARConfig, run: RunDirectory, seed: int):
        super().__init__()
        self._dataset = splits.dataset
        self._evaluator = Evaluator(splits.dataset, splits.validation, seed)
        self._config = config
        self._run = run
        self._seed = seed
        self._history = run.history()
        self._scorer = None
        self._started = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Gives every dropout a state that depends on the seed and the epoch alone."""
        self._started = time.monotonic()
        layers = [
            layer
            for layer in self.model._flatten_layers()
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0
        ]
        for number, layer in enumerate(layers):
            sequence = np.random.SeedSequence([self._seed, epoch, number])
            layer.seed_generator.state.assign(sequence.generate_state(2))

    def on_epoch_end(self, epoch, logs):
        """Validates, saves and decides."""
        if self._scorer is None:
            self._scorer = model_scorer(self.model, self._dataset)
        results = self._evaluator(self._scorer)
        for protocol, metrics in results.items():
            for metric in ("hr@10", "ndcg@10"):
                logs[f"val_{protocol}_{metric}"] = metrics[metric]
        logs[MONITORED] = validation_score(self._dataset, results)
        seconds = round(time.monotonic() - self._started, 2)
        entry = {name: float(value) for name, value in logs.items()}
        self._history.append({"epoch": epoch + 1, **entry, "seconds": seconds})
        with written_at_once(self._run.checkpoint(epoch + 1)) as temporary:
            self.model.save_weights(temporary)
        self._run.write_json("history.json", self._history)  # from here on the epoch counts
        self._run.keep_checkpoints(epoch + 1, best_epoch(self._history))
        if _is_finished(self._history, self._config):
            self.model.stop_training = True
