"""One batch on several devices, with the result of one device.

Every device takes an equal part of a batch's rows and holds all weights. JAX does the arithmetic
of one device on arrays that are sharded over all devices. TensorFlow's MirroredStrategy computes a
loss on every device and adds up the gradients, so a mean over events needs care: see
`MeanOverReplicas`.
"""

from __future__ import annotations

import contextlib
import logging

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from hmar_keras.masks import event_weights
from pipelines.runtime.hardware import Hardware


class Devices:
    """The devices that share every batch of a training.

    Args:
        hardware: how many devices; its `prepare` must have been called.

    Raises:
        InputError: if there are too few devices.
    """

    def __init__(self, hardware: Hardware):
        self._number = hardware.devices
        self._strategy = self._distribution = None
        if self._number > 1 and keras.backend.backend() == "jax":
            self._distribution = keras.distribution.DataParallel(devices=hardware.device_names())
        elif self._number > 1:
            self._strategy = _mirrored_strategy(hardware.device_names())

    def building(self):
        """Returns the context to build and compile a model in."""
        return self._strategy.scope() if self._strategy else self.training()

    def training(self):
        """Returns the context to call `fit` in; a model built under TensorFlow needs none."""
        return self._distribution.scope() if self._distribution else contextlib.nullcontext()

    def distribute(self, dataset: tf.data.Dataset):
        """Distributes the batches of a dataset over the devices, for `fit`.

        Args:
            dataset: batches whose tensors are all `[rows, ...]`; on one device it is returned as
                it is, whatever it is.
        """
        if self._number == 1:
            return dataset
        dataset = pad_rows(dataset, self._number)
        if self._strategy is None:
            return dataset.prefetch(tf.data.AUTOTUNE)
        # By default the strategy would rewrite the batches inside the pipeline.
        parts = dataset.flat_map(
            lambda *batch: tf.data.Dataset.from_tensor_slices(
                tf.nest.map_structure(lambda rows: _parts(rows, self._number), batch)
            )
        ).prefetch(tf.data.AUTOTUNE)
        return self._strategy.distribute_datasets_from_function(lambda context: parts)


def _mirrored_strategy(names):
    # Not the default, collective operations: they fail on gradients that are rows of a table as
    # soon as a batch has another shape.
    on_gpus = "GPU" in names[0]
    sums = tf.distribute.NcclAllReduce() if on_gpus else tf.distribute.ReductionToOneDevice()
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns about devices that are not GPUs
    try:
        return tf.distribute.MirroredStrategy(names, cross_device_ops=sums)
    finally:
        logger.setLevel(level)


def _parts(rows, number):
    """Reshapes `[rows, ...]` to `[number, rows / number, ...]`."""
    shape = tf.shape(rows)
    return tf.reshape(rows, tf.concat([[number, shape[0] // number], shape[1:]], axis=0))


def pad_rows(dataset: tf.data.Dataset, multiple: int) -> tf.data.Dataset:
    """Pads every batch with rows of id 0 at the end, until `multiple` divides the number of rows.

    They have no labels, and therefore no weight in losses and metrics.
    """

    def padded(rows):
        missing = tf.math.floormod(-tf.shape(rows)[0], multiple)
        return tf.pad(rows, [[0, missing], *([[0, 0]] * (rows.shape.rank - 1))])

    return dataset.map(
        lambda *batch: tf.nest.map_structure(padded, batch),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


class MeanOverReplicas(keras.losses.Loss):
    """A mean over the events of a batch whose rows are spread over several replicas.

    A replica's own mean is over its own events. Keras divides it by the number of replicas and
    adds up the gradients of the replicas, which would give the mean of the replicas' means. With
    the factor (replicas x own events / all events) the sum is the mean over all events.

    Args:
        loss: a mean over the positions whose label is not 0.
    """

    def __init__(self, loss: keras.losses.Loss):
        super().__init__(name=loss.name)
        self._loss = loss

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Returns this replica's share of the loss."""
        value = self._loss(y_true, y_pred, sample_weight)
        replica = tf.distribute.get_replica_context()
        if replica is None:  # while Keras builds the model, outside the replicas
            return value
        own = ops.sum(event_weights(y_true, sample_weight))
        everyone = replica.all_reduce(tf.distribute.ReduceOp.SUM, own)
        return value * tf.math.divide_no_nan(replica.num_replicas_in_sync * own, everyone)


def assign_dropout_state(
    model: keras.Model, layer: keras.layers.Dropout, sequence: np.random.SeedSequence
) -> None:
    """Sets the random state of a model's dropout layer, a different one on every replica."""
    state = layer.seed_generator.state
    copies = [state]
    if keras.backend.backend() == "tensorflow":
        copies = model.distribute_strategy.experimental_local_results(state.value)
    sequences = sequence.spawn(len(copies)) if len(copies) > 1 else [sequence]
    for copy, own in zip(copies, sequences, strict=True):
        copy.assign(own.generate_state(2).astype(state.dtype))
