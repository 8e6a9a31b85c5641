"""The official files give exactly the published counts and no warnings."""

import zipfile

import numpy as np
import pytest

from pipelines.datasets import load_dataset, load_log
from pipelines.datasets.event_log import LogSpec
from pipelines.runtime.errors import InputError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("error:.*differs from the official files"),
]


def test_movielens_1m(real_data, tmp_path):
    dataset = load_dataset("movielens/1m", real_data("ml-1m/ml-1m.zip"), tmp_path)
    assert (dataset.num_users, dataset.num_items) == (6_040, 3_706)
    assert dataset.num_events == 1_000_209
    assert dataset.events_by_behavior() == {
        "dislike": 163_731,
        "neutral": 261_197,
        "like": 575_281,
    }
    users = np.repeat(np.arange(dataset.num_users), np.diff(dataset.offsets))
    likes = dataset.behavior_ids == dataset.behaviors.target_id
    assert len(np.unique(users[likes])) == 6_038
    same_user = users[1:] == users[:-1]
    assert np.all(np.diff(dataset.timestamps)[same_user] >= 0)
    assert len(np.unique(users * dataset.num_items + dataset.item_ids)) == dataset.num_events
    assert dataset.users.astype(int).tolist() == sorted(dataset.users.astype(int))
    assert not dataset.has_official_test


def test_ijcai15(real_data, tmp_path):
    dataset = load_dataset("ijcai15", real_data("ijcai15"), tmp_path)
    assert (dataset.num_users, dataset.num_items) == (17_435, 35_920)
    assert dataset.events_by_behavior() == {
        "click": 606_728,
        "fav": 60_204,
        "cart": 751,
        "buy": 131_685,
    }
    assert (dataset.held_out_items > 0).sum() == 6_102
    users = np.repeat(np.arange(dataset.num_users), np.diff(dataset.offsets))
    seen = np.unique(users * 100_000 + dataset.item_ids)
    tested = np.flatnonzero(dataset.held_out_items)
    assert not np.isin(tested * 100_000 + dataset.held_out_items[tested], seen).any()


def test_taobao_sample(real_data, tmp_path):
    dataset = load_dataset("taobao_sample", real_data("taobao_mbcgcn"), tmp_path)
    assert (dataset.num_users, dataset.num_items) == (15_449, 11_953)
    assert dataset.events_by_behavior() == {"view": 858_505, "cart": 180_027, "buy": 92_180}
    assert (dataset.held_out_items > 0).sum() == 15_449
    users = np.repeat(np.arange(dataset.num_users), np.diff(dataset.offsets))
    answers = dataset.held_out_items[users] == dataset.item_ids
    shares = np.bincount(dataset.behavior_ids[answers], minlength=4)[1:] / dataset.num_users
    assert np.round(shares, 3).tolist() == [0.797, 0.196, 0.0]


def test_movielens_as_an_own_log(real_data, tmp_path):
    """On a million real rows with many ties, the streaming reader and the builder agree."""
    archive = real_data("ml-1m/ml-1m.zip")
    with zipfile.ZipFile(archive) as opened:
        (tmp_path / "ratings.dat").write_bytes(opened.read("ml-1m/ratings.dat"))
    spec = LogSpec(
        (str(tmp_path / "ratings.dat"),),
        user="user",
        item="film",
        rating="stars",
        levels="dislike<=2,neutral<4,like",
        time="time",
        target="like",
        columns=("user", "film", "stars", "time"),
    )
    own = load_log(spec, tmp_path / "cache")
    official = load_dataset("movielens/1m", archive, tmp_path / "cache")
    for field in ("users", "items", "offsets", "item_ids", "behavior_ids", "timestamps"):
        np.testing.assert_array_equal(getattr(own, field), getattr(official, field))
    assert own.behaviors == official.behaviors
    assert own.repeats == official.repeats
    assert own.report.read == 1_000_209
    assert [each.events for each in own.report.dropped] == [0]  # no duplicates


def test_yelp_without_its_target(real_data, tmp_path):
    folder = real_data("yelp")
    with pytest.raises(InputError) as caught:
        load_dataset("yelp", folder, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{folder} lacks trn_pos;")
    assert "get trn_pos from https://github.com/akaxlh/KHGT (folder Datasets/Yelp)" in message
    assert not list(tmp_path.iterdir())
