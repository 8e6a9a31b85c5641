"""Validation on the whole catalogue after every epoch, and the epoch's losses."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from hmar_keras.masks import event_weights
from pipelines.evaluation.evaluator import PROTOCOLS, Evaluator, model_scorer, validation_score
from pipelines.protocol.splits import Splits
from pipelines.runtime.data_parallel import assign_dropout_state
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig

MONITORED = "val_score"  # see `evaluation.validation_score`; higher is better
METRICS = ("hr@10", "ndcg@10")
_EVENT_LOSS = "event_loss"


def validation_names() -> list[str]:
    """Returns the names that `Validation` adds to the logs; higher is better for all of them."""
    return [
        MONITORED,
        *(f"val_{protocol}_{metric}" for protocol in PROTOCOLS for metric in METRICS),
    ]


class LossOverEvents(keras.metrics.Mean):
    """Mean of a loss over all events of an epoch.

    Keras's own tracker weights the means of the batches by their rows, including padded ones. This
    mean is the same however the events are batched and distributed.

    Args:
        loss: the loss; its `call` returns the losses of all positions.
    """

    def __init__(self, loss: keras.losses.Loss):
        super().__init__(name=_EVENT_LOSS)
        self._loss = loss

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds labels `[batch, steps]`, 0 for padding, and their predictions."""
        y_true = ops.convert_to_tensor(y_true)
        losses = ops.reshape(self._loss.call(y_true, y_pred), (-1,))
        weights = ops.reshape(event_weights(y_true, sample_weight), (-1,))
        super().update_state(losses, sample_weight=weights)


class Validation(keras.callbacks.Callback):
    """Validates on the whole catalogue after every epoch.

    Adds `val_PROTOCOL_hr@10`, `val_PROTOCOL_ndcg@10` and the decisive score, `val_score`, to the
    logs for the callbacks after it. The model must be compiled by `training.fit.compile_model`.

    Args:
        splits: the split dataset; only its validation questions are used.
        config: the settings.
        seed: seed of the dropout and of the sampled negatives.
        precision: precision of the model in training.
    """

    def __init__(self, splits: Splits, config: RunConfig, seed: int, precision: str = "float32"):
        super().__init__()
        self._dataset = splits.dataset
        self._evaluator = Evaluator(splits.dataset, splits.validation, seed)
        self._config = config
        self._seed = seed
        self._precision = precision
        self._scorer = None
        self._float32_copy = None

    def on_epoch_begin(self, epoch, logs=None):
        """Gives every dropout layer a state that depends only on the seed and the epoch."""
        layers = [
            layer
            for layer in self.model._flatten_layers()
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0
        ]
        for number, layer in enumerate(layers):
            assign_dropout_state(
                self.model, layer, np.random.SeedSequence([self._seed, epoch, number])
            )

    def on_epoch_end(self, epoch, logs):
        """Validates the model and adds the results to the logs."""
        self._put_losses(logs)
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"the loss is not finite after epoch {epoch + 1}; try a lower learning_rate."
            )
        results = self._evaluator(self._current_scorer())
        for protocol, metrics in results.items():
            for metric in METRICS:
                logs[f"val_{protocol}_{metric}"] = metrics[metric]
        logs[MONITORED] = validation_score(results)

    def _put_losses(self, logs):
        """Replaces `loss` and the losses of all outputs with means over events."""
        weights = self.model.objective().compile_arguments()["loss_weights"]
        if len(weights) == 1:  # then Keras omits the output's name from its metrics
            for name in [name for name in logs if name != "loss"]:
                logs[f"{next(iter(weights))}_{name}"] = logs.pop(name)
        for output in weights:
            logs[f"{output}_loss"] = logs.pop(f"{output}_{_EVENT_LOSS}")
        logs["loss"] = sum(weight * logs[f"{output}_loss"] for output, weight in weights.items())

    def _current_scorer(self):
        """Returns a scorer that scores as the saved model would, in float32."""
        if self._scorer is None:
            if self._precision != "float32":
                self._float32_copy = self._config.build_model()
            self._scorer = model_scorer(self._float32_copy or self.model, self._dataset)
        if self._float32_copy:
            self._float32_copy.set_weights(self.model.get_weights())
        return self._scorer
