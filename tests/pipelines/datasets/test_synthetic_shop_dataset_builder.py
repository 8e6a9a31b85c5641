import os

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets.prepared_records import read_prepared
from pipelines.datasets.synthetic_shop import simulator
from pipelines.datasets.synthetic_shop.synthetic_shop_dataset_builder import SyntheticShop


class SyntheticShopTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = SyntheticShop
    BUILDER_CONFIG_NAMES_TO_TEST = ("tiny",)
    EXAMPLE_DIR = os.path.dirname(__file__)  # there are no raw files
    SPLITS = {"train": 200}  # noqa: RUF012


def test_records_are_the_simulated_log(tmp_path):
    builder = SyntheticShop(config="tiny", data_dir=tmp_path)
    builder.download_and_prepare()
    dataset = read_prepared(builder, "shop")
    log = simulator.simulate(simulator.CONFIGS["tiny"])
    assert dataset.users.tolist() == [str(user) for user in range(200)]
    np.testing.assert_array_equal(dataset.items[dataset.item_ids - 1].astype(int), log.items)
    np.testing.assert_array_equal(dataset.behavior_ids, log.behavior_ids)
    np.testing.assert_array_equal(dataset.timestamps, log.timestamps)
    np.testing.assert_array_equal(np.repeat(np.arange(200), np.diff(dataset.offsets)), log.users)
    assert dataset.behaviors.names == ("view", "favorite", "cart", "buy")
    assert dataset.behaviors.target == "buy"
    assert dataset.repeats
    assert not dataset.has_official_test
