import pytest
import tensorflow_datasets as tfds

from pipelines.datasets.taobao.taobao_dataset_builder import Taobao

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")


class TaobaoTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Taobao
    SPLITS = {"train": 5}  # noqa: RUF012


def test_kinds():
    assert Taobao.BEHAVIORS.names == ("pv", "fav", "cart", "buy")
    assert Taobao.BEHAVIORS.target == "buy"
    assert Taobao.REPEATS is True
