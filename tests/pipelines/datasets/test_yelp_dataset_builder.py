import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse
import tensorflow_datasets as tfds

from pipelines.datasets import load_dataset
from pipelines.datasets.yelp.yelp_dataset_builder import Yelp
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")


class YelpTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Yelp
    SPLITS = {"train": 5}  # noqa: RUF012


def test_kinds():
    assert Yelp.BEHAVIORS.names == ("tip", "neg", "neutral", "pos")
    assert Yelp.BEHAVIORS.target == "pos"
    assert Yelp.REPEATS is False


def test_alpha_of_the_preset_is_by_behavior():
    config = RunConfig.preset("yelp", 10, Yelp.BEHAVIORS)
    assert config.model.alpha == {"tip": 0.2, "neg": 0.2, "neutral": 0.3, "pos": 0.3}


@pytest.mark.parametrize("path", ["yelp", "yelp/trn_tip"])
def test_the_file_that_could_not_be_had_is_asked_for(path, real_data, tmp_path):
    message = (
        r"yelp lacks trn_pos; it must have all of trn_tip, trn_neg, trn_neutral, trn_pos, tst_int: "
        r"get trn_pos from https://github.com/akaxlh/KHGT \(folder Datasets/Yelp\)\.$"
    )
    with pytest.raises(InputError, match=message):
        load_dataset("yelp", real_data(path), tmp_path)


@pytest.mark.slow
def test_all_but_the_missing_file_fit_together(real_data, tmp_path):
    """Checks the counts and the test list, with a `trn_pos` of a single event."""
    for file in real_data("yelp").iterdir():
        (tmp_path / file.name).symlink_to(file)
    like = scipy.sparse.csr_matrix(([1.6e9], ([0], [0])), shape=(19_800, 22_734))
    (tmp_path / "trn_pos").write_bytes(pickle.dumps(like))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*differs from the official files")
        dataset = load_dataset("yelp", tmp_path, tmp_path / "cache")
    assert dataset.num_events == 285_673 + 198_106 + 238_880 + 1
    users = np.repeat(np.arange(dataset.num_users), np.diff(dataset.offsets))
    touched = np.unique(users * 100_000 + dataset.item_ids)
    tested = np.flatnonzero(dataset.held_out_items)
    assert len(tested) == 10_000
    assert not np.isin(tested * 100_000 + dataset.held_out_items[tested], touched).any()
