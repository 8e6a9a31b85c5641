"""A finished run with everything that its report needs."""

from __future__ import annotations

import dataclasses
import os

import keras
import numpy as np

from hmar_keras.inspection import counts_behaviors, layers_in_order
from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.questions import history_features
from pipelines.protocol.splits import EvaluationSet, Splits, split, visible_events
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory
from pipelines.workflow import runs as workflow


@dataclasses.dataclass(frozen=True)
class OpenedRun:
    """The inputs and results of a finished run.

    Args:
        directory: the run's directory.
        config: its settings.
        settings: content of `run.json`.
        history: one entry per epoch.
        source: the dataset that it is trained on, as loaded.
        splits: the split dataset; its events may be in another order.
        model: the model with the best weights.
    """

    directory: RunDirectory
    config: RunConfig
    settings: dict
    history: list[dict]
    source: InteractionDataset
    splits: Splits
    model: keras.Model

    @property
    def dataset(self) -> InteractionDataset:
        """The dataset that the questions refer to."""
        return self.splits.dataset

    @property
    def seed(self) -> int:
        """The run's seed, also used for all random choices of the report."""
        return self.settings["seed"]

    @property
    def model_name(self) -> str:
        """The model's name next to the baselines."""
        return type(self.model).__name__

    @property
    def behavior_names(self) -> tuple[str, ...]:
        """Names of the behaviours, in the order of their ids from 1."""
        return self.dataset.behaviors.names

    @property
    def predicts_behavior(self) -> bool:
        """Whether the model has the head of Eq. 16 and more than one behaviour to predict."""
        return hasattr(self.model, "behavior_logits") and len(self.behavior_names) > 1

    @property
    def counts_behaviors(self) -> bool:
        """Whether the model has historical behaviour indicators and uses them."""
        return counts_behaviors(self.model)

    def histories(self, questions: EvaluationSet) -> dict[str, np.ndarray]:
        """Returns the model's features of histories, and always items and behaviours, by name.

        They are left-padded, see `history_features`.
        """
        seen = visible_events(self.dataset, self.config.model.input_behaviors)
        names = dict.fromkeys((ITEM_IDS, BEHAVIOR_IDS, *self.model.features))
        length = self.config.model.max_length
        return history_features(seen.dataset, seen.questions(questions), length, tuple(names))

    def layers_of(self, kind: type) -> list[keras.layers.Layer]:
        """Returns all layers of a class, in the order of the model's graph."""
        return [layer for layer in layers_in_order(self.model) if isinstance(layer, kind)]


def open_run(path: str | os.PathLike, data_dir: str | None = None) -> OpenedRun:
    """Opens a finished run.

    Args:
        path: its directory.
        data_dir: where the dataset's raw files are now, if they have moved.

    Raises:
        InputError: if there is no such run, it is not finished, or its dataset cannot be loaded.
    """
    directory = RunDirectory.open(path)
    config, settings, history = directory.config(), directory.settings(), directory.history()
    if not directory.model.exists() or not history:
        raise InputError(
            f"{directory.path} is not fully trained yet; resume it with hmar train "
            f"--output {directory.path} --resume."
        )
    dataset = workflow.load_run_dataset(directory, data_dir)
    model = workflow.load_model(directory)
    return OpenedRun(
        directory, config, settings, history, dataset, split(dataset, config.split.holdout), model
    )
