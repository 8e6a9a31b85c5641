"""HMAR as a `HyperModel` for any tuner of KerasTuner."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import keras_tuner

from hmar_keras.models import SequentialRecommender
from pipelines.protocol.splits import Splits
from pipelines.runtime.custom_gradients import gradients_forgotten
from pipelines.runtime.hardware import Hardware
from pipelines.training.fit import compiled_model, learning_rate, prepare, training_data
from pipelines.training.run_config import RunConfig
from pipelines.training.validation import MONITORED, Validation
from pipelines.tuning.space import SearchSpace


class HMARHyperModel(keras_tuner.HyperModel):
    """Builds and fits the model of a `RunConfig`, with values that a tuner chooses.

    Each epoch is validated on the whole catalogue. The objective is `val_score` or another name in
    `pipelines.training.validation.validation_names()`, with the direction `max`. (Names such as
    `val_ranking_ndcg@10` are not among them: these are Keras's metrics of the two outputs on
    batches that `fit` gets as `validation_data`.)

    Args:
        splits: the split dataset.
        space: the searched settings, and where the search begins.
        seed: seed of the weights, the order, the negatives and the dropout of every trial.

    Example:

    >>> from pipelines.datasets import load_dataset
    >>> from pipelines.protocol.splits import split
    >>> splits = split(load_dataset("synthetic_shop/tiny"))
    >>> dataset = splits.dataset
    >>> sizes = {"dim": 8, "max_length": 10, "epochs": 1}
    >>> base = RunConfig.of(dataset.num_items, dataset.behaviors, **sizes)
    >>> hypermodel = HMARHyperModel(splits, SearchSpace.of(base, over=["alpha", "theta"]))
    >>> hp = keras_tuner.HyperParameters()
    >>> model = hypermodel.build(hp)
    >>> sorted(hp.values)
    ['alpha.buy', 'alpha.cart', 'alpha.favorite', 'alpha.view', 'theta']
    >>> hypermodel.config(hp).model.theta
    0.1
    """

    def __init__(self, splits: Splits, space: SearchSpace, seed: int = 0):
        super().__init__(name="hmar")
        self._splits = splits
        self._space = space
        self._seed = seed

    def config(self, hp: keras_tuner.HyperParameters) -> RunConfig:
        """Returns the settings for a tuner's values, for instance those of its best trial.

        Raises:
            ValueError: if the values are not valid together.
        """
        self._space.declare(hp)
        return self._space.config(hp.values)

    def build(self, hp: keras_tuner.HyperParameters) -> SequentialRecommender:
        """Builds and compiles the model, with weights drawn by the seed.

        Raises:
            ValueError: if the values are not valid together.
        """
        config = self.config(hp)
        keras.utils.set_random_seed(self._seed)
        model = compiled_model(config, Hardware().resolved())
        prepare(model, self._splits)
        return model

    @gradients_forgotten()
    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: SequentialRecommender,
        epochs: int | None = None,
        initial_epoch: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int | str = 0,
    ) -> keras.callbacks.History:
        """Trains on windows of the trial's length, in batches of its size.

        Args:
            hp: the trial's values.
            model: the model from `build`.
            epochs: maximum number of epochs; None for that of the space's base. Training stops
                early after the base's `patience` epochs without a better score.
            initial_epoch: as in Keras; Hyperband resumes where another trial stopped.
            callbacks: further callbacks; a tuner adds its own.
            verbose: as in Keras.

        Returns:
            the history, including the validation scores.

        Raises:
            InputError: if the loss is not finite.
        """
        config = self.config(hp)
        epochs = epochs or config.training.epochs
        training = config.training.replace(epochs=epochs)
        data = training_data(self._splits, model, training, self._seed, Hardware().resolved())
        base = config.training  # the schedule spans the base's epochs
        callbacks = [
            Validation(self._splits, config, self._seed),
            keras.callbacks.EarlyStopping(MONITORED, mode="max", patience=base.patience),
            keras.callbacks.LearningRateScheduler(lambda epoch: learning_rate(base, epoch)),
            *callbacks,
        ]
        fed = data.fit_arguments(callbacks, initial_epoch)
        return model.fit(**fed, epochs=epochs, verbose=verbose)
