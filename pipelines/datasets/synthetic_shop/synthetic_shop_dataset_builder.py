"""TFDS builder for the simulated shop."""

from __future__ import annotations

import dataclasses

import tensorflow_datasets as tfds

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.interaction_log import group_by_user
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.synthetic_shop import simulator


@dataclasses.dataclass(eq=False)
class SyntheticShopConfig(tfds.core.BuilderConfig):
    """A shop size.

    Args:
        shop: the simulation settings, including the seed.
    """

    shop: simulator.ShopConfig | None = None


class SyntheticShop(LogBuilder):
    """A log of views, favourites, carts and purchases that needs no download."""

    BUILDER_CONFIGS = [
        SyntheticShopConfig(
            name=name,
            shop=shop,
            description=f"{shop.num_users:,} users, {shop.num_items:,} items",
        )
        for name, shop in simulator.CONFIGS.items()
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "small"
    BEHAVIORS = Behaviors(simulator.BEHAVIORS, simulator.TARGET)
    REPEATS = True

    @classmethod
    def sources(cls, config_name):
        """Returns None: there are no raw files."""
        return None

    def read_log(self, name, files) -> InteractionDataset:
        """Simulates the shop of the builder's configuration."""
        log = simulator.simulate(self.builder_config.shop)
        return group_by_user(
            name,
            self.BEHAVIORS,
            self.REPEATS,
            users=log.users,
            items=log.items,
            behavior_ids=log.behavior_ids,
            timestamps=log.timestamps,
        )
