"""The workload: sizes, datasets, models and batches."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from machine import machine_rows
from measuring import Row
from plain_hmar import PlainHMAR, plain_compile_arguments

from hmar_keras import HMAR, TrainingConfig, compile_arguments
from hmar_keras.schema import Behaviors
from pipelines.datasets import load_dataset
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.numbered_log import group_numbered
from pipelines.datasets.synthetic_shop import simulator
from pipelines.protocol.splits import Splits, split
from pipelines.training.host_batches import TrainingData
from pipelines.training.run_config import RunConfig

SEED = 0


@dataclasses.dataclass(frozen=True)
class Size:
    """The sizes of what is measured.

    Args:
        dataset: the log to train on, with the preset `taobao`.
        settings: settings that differ from the presets.
        steps: batches that the bare step and its parts are timed on.
        plain_steps: batches of the plain model.
        repeats: samples of each number.
        matrix: width of the matrix product.
        copy: MiB to copy.
        catalogs: items of the large catalogues, with the preset `tianchi`.
        catalog_steps: batches of the large catalogues.
        catalog_users: users whose histories are drawn from the large catalogues.
        evaluated_items: items of the catalogue for the evaluation.
        questions: number of evaluated users.
        requests: calls of the exported model.
    """

    dataset: str = "synthetic_shop/medium"
    settings: dict = dataclasses.field(default_factory=dict)
    steps: int = 20
    plain_steps: int = 4
    repeats: int = 4
    matrix: int = 2048
    copy: int = 256
    catalogs: tuple[int, int] = (100_000, 500_000)
    catalog_steps: int = 8
    catalog_users: int = 4_000
    evaluated_items: int = 35_920
    questions: int = 3_000
    requests: int = 50

    def machine(self) -> list[Row]:
        """Measures the machine's rates."""
        return machine_rows(self.matrix, self.copy, self.repeats)


FULL = Size()
QUICK = Size(
    dataset="synthetic_shop/tiny",
    settings={"dim": 8, "max_length": 16, "batch_size": 32},
    steps=2,
    plain_steps=1,
    repeats=1,
    matrix=64,
    copy=1,
    catalogs=(1_000, 2_000),
    catalog_steps=1,
    catalog_users=50,
    evaluated_items=1_000,
    questions=20,
    requests=2,
)


def load(size: Size) -> tuple[Splits, RunConfig]:
    """Loads the log to train on, and the settings."""
    dataset = load_dataset(size.dataset)
    config = RunConfig.preset("taobao", dataset.num_items, dataset.behaviors, **size.settings)
    return split(dataset), config


def shop(num_users: int, num_items: int) -> InteractionDataset:
    """Simulates a shop of any size; its catalogue also holds items that nobody has touched."""
    sizes = {"num_users": num_users, "num_items": num_items}
    log = simulator.simulate(simulator.ShopConfig(**sizes, num_categories=max(2, num_items // 80)))
    return group_numbered(
        "shop",
        Behaviors(simulator.BEHAVIORS, simulator.TARGET),
        True,
        users=log.users,
        item_ids=log.items + 1,
        behavior_ids=log.behavior_ids,
        timestamps=log.timestamps,
        held_out_items=np.zeros(num_users, np.int32),
        num_items=num_items,
    )


def batches(
    splits: Splits, model: HMAR | PlainHMAR, training: TrainingConfig, count: int
) -> list[tuple[dict, dict]]:
    """Returns the first batches of an epoch, in memory."""
    return list(TrainingData(splits, model, training, SEED).dataset(0, 1).take(count))


def fast_model(config: RunConfig, **changes) -> HMAR:
    """Returns a model compiled as in `hmar train` on CPUs, apart from `changes`."""
    model = HMAR(config.model)
    return _compiled(model, {**compile_arguments(model, config.training), **changes})


def plain_training(config: RunConfig) -> TrainingConfig:
    """Returns the same training with batches for the plain model."""
    return config.training.replace(batching="mixed")


def plain_model(config: RunConfig) -> PlainHMAR:
    """Returns the plain model, compiled."""
    model = PlainHMAR(config.model)
    return _compiled(model, plain_compile_arguments(model, config.training))


def _compiled(model, arguments):
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    model.compile(**arguments, jit_compile="auto" if on_gpu else False)
    return model


def train_step(model: keras.Model, batch: tuple[dict, dict]):
    """Returns the model's step as a function of batches like this one, without Keras's loop."""
    model(batch[0])  # builds it
    return tf.function(model.train_step, [signature(batch)])


def signature(batch: tuple[dict, dict]) -> tuple[dict, dict]:
    """Returns the specification of batches like this one, but of any size."""
    return tf.nest.map_structure(lambda x: tf.TensorSpec([None] * x.ndim, x.dtype), batch)
