"""Validation after every epoch, on the whole catalogue, and what the losses of it were."""

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
    """What `Validation` adds to the logs; higher is better for all of it."""
    return [
        MONITORED,
        *(f"val_{protocol}_{metric}" for protocol in PROTOCOLS for metric in METRICS),
    ]


class LossOverEvents(keras.metrics.Mean):
    """Mean of a loss over all events of an epoch.

    Keras's own tracker weighs the means of the batches by their rows, padded ones too; this is
    the same number however the events are batched and distributed.

    Args:
        loss: gives the losses of all positions by `call`.
    """

    def __init__(self, loss: keras.losses.Loss):
        super().__init__(name=_EVENT_LOSS)
        self._loss = loss

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds `[batch, steps]` truths, 0 for padding, and predictions."""
        y_true = ops.convert_to_tensor(y_true)
        losses = ops.reshape(self._loss.call(y_true, y_pred), (-1,))
        weights = ops.reshape(event_weights(y_true, sample_weight), (-1,))
        super().update_state(losses, sample_weight=weights)


class Validation(keras.callbacks.Callback):
    """After every epoch: validate on the whole catalogue.

    Adds to the logs, for whatever callback follows, `val_PROTOCOL_hr@10`, `val_PROTOCOL_ndcg@10`
    and the score that decides, `val_score`. The model has been compiled by
    `training.fit.compile_model`.

    Args:
        splits: the split dataset; only its validation questions are used.
        config: the settings.
        seed: of the dropout and of the sampled negatives.
        precision: of the model that trains.
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
        """Gives every dropout a state that depends on the seed and the epoch alone."""
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
        """Validates."""
        self._put_losses(logs)
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"the loss is no number after epoch {epoch + 1}; try a lower learning_rate."
            )
        results = self._evaluator(self._current_scorer())
        for protocol, metrics in results.items():
            for metric in METRICS:
                logs[f"val_{protocol}_{metric}"] = metrics[metric]
        logs[MONITORED] = validation_score(results)

    def _put_losses(self, logs):
        """`loss` and the losses of all outputs become means over events."""
        weights = self.model.objective().compile_arguments()["loss_weights"]
        if len(weights) == 1:  # then Keras leaves the output's name out of its metrics'
            for name in [name for name in logs if name != "loss"]:
                logs[f"{next(iter(weights))}_{name}"] = logs.pop(name)
        for output in weights:
            logs[f"{output}_loss"] = logs.pop(f"{output}_{_EVENT_LOSS}")
        logs["loss"] = sum(weight * logs[f"{output}_loss"] for output, weight in weights.items())

    def _current_scorer(self):
        """Scores as the saved model would, in float32."""
        if self._scorer is None:
            if self._precision != "float32":
                self._float32_copy = self._config.build_model()
            self._scorer = model_scorer(self._float32_copy or self.model, self._dataset)
        if self._float32_copy:
            self._float32_copy.set_weights(self.model.get_weights())
        return self._scorer
