"""Builder of the embedded dataset; see `simulator.py` for what is simulated."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_log import InteractionLog
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.synthetic_shop import simulator

_DESCRIPTIONS = {
    "tiny": "200 users, for tests",
    "small": "2,000 users, trains in minutes on a CPU",
    "medium": "a larger shop",
    "million": "about a million events",
}


class SyntheticShop(LogBuilder):
    """A simulated shop: view, favourite, cart, buy."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=_DESCRIPTIONS[name])
        for name in simulator.CONFIGS
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "small"
    BEHAVIORS = Behaviors(simulator.BEHAVIORS, simulator.TARGET)
    REPEATS = True

    @classmethod
    def settings(cls, config_name):
        """The size and character of the shop."""
        return dataclasses.asdict(simulator.CONFIGS[config_name])

    def read_log(self, dl_manager):
        """Simulates the shop of the configuration."""
        config = simulator.CONFIGS[self.builder_config.name]
        shop = simulator.simulate(config)
        log = InteractionLog.from_columns(
            f"{self.name}/{self.builder_config.name}",
            shop.users,
            shop.items,
            shop.behavior_ids,
            shop.timestamps,
            len(self.BEHAVIORS),
        )
        # The catalogue has items that nobody has touched yet, and they can be recommended.
        known = log.items.astype(np.int64)
        return dataclasses.replace(
            log,
            items=np.arange(config.num_items).astype(str),
            item_ids=(known[log.item_ids - 1] + 1).astype(np.int32),
        )
