"""Training: stock `compile` and `fit`, with validation, checkpoints and exact resumption."""

from __future__ import annotations

import math
import time

import h5py
import keras
import numpy as np
from keras import ops

from hmar_keras.models import SequentialRecommender, compile_arguments
from hmar_keras.schema import NEGATIVE_IDS
from hmar_keras.training_config import TrainingConfig
from pipelines.protocol.splits import Splits
from pipelines.runtime.custom_gradients import gradients_forgotten
from pipelines.runtime.data_parallel import Devices, MeanOverReplicas
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware
from pipelines.runtime.interruption import Interruption
from pipelines.runtime.terminal import say
from pipelines.storage.artefacts import reading, remove, require_room, written
from pipelines.training.host_batches import TrainingData
from pipelines.training.progress import TrainingProgress
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory
from pipelines.training.training_log import SplitLog
from pipelines.training.validation import MONITORED, LossOverEvents, Validation


def train(
    splits: Splits,
    config: RunConfig,
    run: RunDirectory,
    seed: int,
    hardware: Hardware | None = None,
    until: int | None = None,
) -> SequentialRecommender:
    """Trains until the validation score has not improved for `patience` epochs.

    Resumes after the last finished epoch of the run; on the same hardware the result is the same,
    bit for bit, as without the interruption. If the last checkpoint is damaged, training resumes
    after the best epoch, with the same result.

    Args:
        splits: the split dataset.
        config: the settings.
        run: where checkpoints and history are kept.
        seed: seed of the initial weights, the order, the negatives and the dropout.
        hardware: what to train on; call its `prepare` first if there are several devices.
        until: pause after this epoch, if training has not finished by then; None for the end.

    Returns:
        the model with the weights of the best epoch, in float32, also saved as `model.keras`.

    Raises:
        InputError: if the backend or the machine cannot do what is requested, another process
            trains the run, its files are damaged, or the disk is full.
    """
    hardware = (hardware or Hardware()).resolved()
    last = min(until or config.training.epochs, config.training.epochs)
    with run.held():
        history = run.history()
        if len(history) < last and not _is_finished(history, config.training):
            _fit(splits, config, run, seed, hardware, last, _continuable(run, history))
        history = run.history()
        # A process killed right after its last epoch leaves more checkpoints behind.
        run.keep_checkpoints(len(history), best_epoch(history))
        return save_best(run, config)


def _continuable(run, history):
    """Returns the epochs to resume after: all, or up to the best if the last is damaged.

    Raises:
        InputError: if no checkpoint can be used.
    """
    if not history:
        return history
    best = best_epoch(history)
    _check_checkpoint(run, best, "start a new run: the best weights are lost")
    try:
        _check_checkpoint(run, len(history), "an older checkpoint is used")
    except InputError as error:
        say(f"warning: {error} Continuing after epoch {best}.")
        return history[:best]
    return history


def _check_checkpoint(run, epoch, advice):
    with reading(run.checkpoint(epoch), advice), h5py.File(run.checkpoint(epoch)) as file:
        # Without a checksum, damage only shows when the file is read.
        file.visititems(lambda name, node: _read_array(node))


def _read_array(node):
    if isinstance(node, h5py.Dataset):
        node[()]


def _fit(splits, config, run, seed, hardware, last, history):
    keras.utils.set_random_seed(seed)
    scores = [epoch[MONITORED] for epoch in history]
    devices = Devices(hardware)
    with devices.building():
        model = config.build_model(hardware.precision)
    data = training_data(splits, model, config.training, seed, hardware)
    with devices.building():
        steps = data.steps_per_execution(hardware.steps_per_execution)
        compile_model(model, config.training, hardware, steps)
        # If built within the first step, it would hold one more copy of the item table.
        model.optimizer.build(model.trainable_variables)
        if scores:
            _load_state(model, run, len(scores))
        else:
            prepare(model, splits)
    require_room(run.path, _checkpoint_size(model), libraries=True)  # not after the first epoch
    progress = TrainingProgress(last, data.steps_per_epoch, MONITORED, scores)
    interruption = Interruption()
    callbacks = [
        Validation(splits, config, seed, hardware.precision),
        Checkpoint(config.training, run, history),
        keras.callbacks.TensorBoard(run.tensorboard, write_graph=False),
        keras.callbacks.LearningRateScheduler(lambda epoch: learning_rate(config.training, epoch)),
        progress,
        interruption,
    ]
    fed = data.fit_arguments(callbacks, initial_epoch=len(scores))
    if hardware.devices == 1 and keras.backend.backend() == "tensorflow":
        _build_losses(model, fed["x"].element_spec)
    fed["x"] = devices.distribute(fed["x"])
    try:
        with interruption.listening(), devices.training(), gradients_forgotten():
            model.fit(**fed, epochs=last, verbose=0)
    finally:
        progress.close()


def training_data(
    splits: Splits,
    model: SequentialRecommender,
    training: TrainingConfig,
    seed: int,
    hardware: Hardware,
):
    """Returns the batches of a training: `DeviceBatches` if they are made on the device.

    Args:
        splits: the split dataset.
        model: the model to train.
        training: settings of the training.
        seed: seed of the order and the negatives.
        hardware: what to train on, resolved.

    Raises:
        InputError: if the dataset cannot be trained on.
    """
    if hardware.data_on_device:
        from pipelines.training.device_batches import DeviceBatches  # needs JAX

        return DeviceBatches(splits, model, training, seed)
    return TrainingData(splits, model, training, seed, few_lengths=hardware.jit_compile)


def prepare(model: SequentialRecommender, splits: Splits) -> None:
    """Lets a new model prepare itself with the training events.

    Args:
        model: the model, with initial weights.
        splits: the split dataset.

    Raises:
        InputError: if the model lacks what its settings require.
    """
    config, kind = model.config, type(model)
    starts = getattr(config, "item_start", "random") == "cooccurrence"
    if starts and kind.item_table is SequentialRecommender.item_table:
        raise InputError(
            f"{kind.__name__} must define item_table, which item_start=cooccurrence fills; "
            "define it, or set item_start=random."
        )
    model.prepare(SplitLog(splits, config.input_behaviors))


def learning_rate(training: TrainingConfig, epoch: int) -> float:
    """Returns the learning rate of an epoch, counted from 0.

    It depends on the epoch alone, so a training that resumes has the same learning rates.
    """
    if training.learning_rate_schedule == "constant":
        return training.learning_rate
    return training.learning_rate * (1 + math.cos(math.pi * epoch / training.epochs)) / 2


def _load_state(model, run, epoch):
    with reading(
        run.checkpoint(epoch),
        "start a new run, because it is damaged or from an earlier version",
    ):
        model.load_weights(run.checkpoint(epoch))


def compiled_model(
    config: RunConfig, hardware: Hardware, steps_per_execution: int = 1
) -> SequentialRecommender:
    """Returns the model with initial weights, ready for `fit`. Call it within `Devices.building`.

    Args:
        config: the settings.
        hardware: what to train on, resolved.
        steps_per_execution: steps per execution, without Keras between them.
    """
    model = config.build_model(hardware.precision)
    compile_model(model, config.training, hardware, steps_per_execution)
    return model


def compile_model(
    model: SequentialRecommender,
    training: TrainingConfig,
    hardware: Hardware,
    steps_per_execution: int = 1,
) -> None:
    """Compiles a model for a training. Call it within `Devices.building`.

    Args:
        model: the model.
        training: settings of the training.
        hardware: what to train on, resolved.
        steps_per_execution: steps per execution, without Keras between them.

    Raises:
        InputError: if the model's graph does not fit its objective.
    """
    _check_graph(model)
    arguments = compile_arguments(model, training)
    if hardware.precision == "mixed_float16":
        # Keras does so by itself only if the model's heads are mixed as well.
        arguments["optimizer"] = keras.optimizers.LossScaleOptimizer(arguments["optimizer"])
    for output, loss in arguments["loss"].items():
        arguments["metrics"][output].append(LossOverEvents(loss))
    if hardware.devices > 1 and keras.backend.backend() == "tensorflow":
        losses = arguments["loss"].items()
        arguments["loss"] = {output: MeanOverReplicas(loss) for output, loss in losses}
    model.compile(
        **arguments,
        jit_compile=hardware.jit_compile,
        steps_per_execution=steps_per_execution,
    )


def _build_losses(model, spec):
    """Creates the variables of the losses and metrics.

    Keras creates them within the first step, which TensorFlow then traces twice.
    """

    def zeros(tensor):
        return ops.zeros([size or 2 for size in tensor.shape], tensor.dtype)

    inputs, labels = keras.tree.map_structure(zeros, spec)
    outputs = keras.tree.map_structure(zeros, model.output)
    model.compute_loss(inputs, labels, outputs)
    model.compute_metrics(inputs, labels, outputs)
    model.reset_metrics()


def _check_graph(model):
    """Checks the graph against the objective: Keras silently drops inputs that a graph lacks."""
    objective, name = model.objective(), type(model).__name__
    if objective.shared_negatives != (NEGATIVE_IDS in model.input):
        raise InputError(
            f"{name} must build its graph from recommender_inputs(self.features, "
            "config.shared_negatives) and score negative_ids, too; or set shared_negatives=false."
        )
    if set(objective.outputs) != set(model.output):
        raise InputError(
            f"the outputs of {name} are {', '.join(sorted(model.output))}, but its objective has "
            f"{', '.join(sorted(objective.outputs))}; make them the same."
        )


def save_best(run: RunDirectory, config: RunConfig) -> SequentialRecommender:
    """Writes `model.keras` with the weights of the best epoch, without the optimiser.

    Raises:
        InputError: if the checkpoint is damaged or the disk is full.
    """
    model = config.build_model()
    best = run.checkpoint(best_epoch(run.history()))
    with reading(best, "start a new run: the best weights are lost"):
        model.load_weights(best)
    with written(run.model, size_of(model.weights), libraries=True) as temporary:
        model.save(temporary)
    return model


def size_of(variables) -> int:
    """Returns the size of variables in bytes."""
    return sum(
        math.prod(each.shape) * np.dtype(keras.backend.standardize_dtype(each.dtype)).itemsize
        for each in variables
    )


def _checkpoint_size(model):
    return size_of(model.variables) + size_of(model.optimizer.variables)


def best_epoch(history: list[dict]) -> int:
    """Returns the epoch (from 1) with the best validation score, the earliest if several tie."""
    return int(np.argmax([epoch[MONITORED] for epoch in history])) + 1


def _is_finished(history, training):
    if not history:
        return False
    stale = len(history) - best_epoch(history)
    return stale >= training.patience or len(history) >= training.epochs


class Checkpoint(keras.callbacks.Callback):
    """Saves after every epoch, and stops training when `patience` or `epochs` is reached.

    Must come after `Validation` in the callback list.

    Args:
        training: the settings.
        run: where to save.
        history: the epochs finished before.
    """

    def __init__(self, training: TrainingConfig, run: RunDirectory, history: list[dict]):
        super().__init__()
        self._training = training
        self._run = run
        self._history = list(history)
        self._started = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Records the start time."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch, logs):
        """Saves the epoch and decides whether to stop."""
        seconds = round(time.monotonic() - self._started, 2)
        entry = {name: float(value) for name, value in logs.items()}
        self._history.append({"epoch": epoch + 1, **entry, "seconds": seconds})
        path = self._run.checkpoint(epoch + 1)
        with written(path, _checkpoint_size(self.model), libraries=True) as temporary:
            self.model.save_weights(temporary)
        remove(self._run.model)  # from a shorter training; the best checkpoint stays
        self._run.write_json("history.json", self._history)  # from here on the epoch counts
        self._run.keep_checkpoints(epoch + 1, best_epoch(self._history))
        if _is_finished(self._history, self._training):
            self.model.stop_training = True
