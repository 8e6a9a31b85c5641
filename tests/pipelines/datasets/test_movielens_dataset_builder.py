import pathlib
import zipfile

import pytest
import tensorflow_datasets as tfds

from pipelines.datasets.movielens.movielens_dataset_builder import MovielensBehaviors
from pipelines.datasets.prepared_records import read_prepared
from pipelines.runtime.errors import InputError

DUMMY_DATA = pathlib.Path(MovielensBehaviors.code_path).parent / "dummy_data"

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")


class MovielensBehaviorsTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = MovielensBehaviors
    SPLITS = {"train": 5}  # noqa: RUF012


def test_what_is_downloaded_has_a_recorded_checksum():
    urls = {MovielensBehaviors.sources(each).url for each in MovielensBehaviors.builder_configs}
    assert urls - {None} == set(MovielensBehaviors.url_infos)


def test_does_not_hide_the_movielens_of_tfds():
    assert MovielensBehaviors.name == "movielens_behaviors"
    assert "movielens" in tfds.list_builders(with_community_datasets=False)


def prepare(tmp_path, config, source):
    builder = MovielensBehaviors(config=config, data_dir=tmp_path, source=source)
    builder.download_and_prepare()
    return read_prepared(builder, "ratings")


@pytest.mark.parametrize("config", ["100k", "1m", "10m", "latest-small"])
def test_every_form_holds_the_same_films(tmp_path, config):
    dataset = prepare(tmp_path, config, DUMMY_DATA)
    with zipfile.ZipFile(DUMMY_DATA / "ml-1m.zip") as archive:
        lines = archive.read("ml-1m/ratings.dat").decode().split()
    ratings = [tuple(map(int, line.split("::"))) for line in lines]
    assert dataset.users.tolist() == ["1", "2", "3", "10", "11"]
    for row, user in enumerate(dataset.users):
        # Python's sort is stable, so equal times keep the order of the file.
        own = sorted((r for r in ratings if r[0] == int(user)), key=lambda rating: rating[3])
        span = slice(dataset.offsets[row], dataset.offsets[row + 1])
        films = dataset.items[dataset.item_ids[span] - 1]
        assert films.astype(int).tolist() == [film for _, film, _, _ in own]
        assert dataset.timestamps[span].tolist() == [time for *_, time in own]


def test_behaviors_of_ratings(tmp_path, ratings_1m):
    stars = (0.5, 2, 2.5, 3.5, 4, 5)
    folder = ratings_1m(*(f"1::{10 + i}::{star}::{i}" for i, star in enumerate(stars)))
    dataset = prepare(tmp_path, "1m", folder)
    assert dataset.behavior_ids.tolist() == [1, 1, 2, 2, 3, 3]
    assert dataset.behaviors.names == ("dislike", "neutral", "like")
    assert dataset.behaviors.target == "like"
    assert not dataset.repeats


@pytest.mark.parametrize("config", ["10m-csr", "10m-text"])
def test_forms_of_the_paper_have_behaviors_of_their_own(tmp_path, config):
    dataset = prepare(tmp_path, config, DUMMY_DATA)
    assert dataset.behaviors.names == ("neg", "neutral", "pos")
    assert dataset.behaviors.target == "pos"
    assert not dataset.repeats
    assert dataset.has_official_test


def test_10m_is_not_downloaded_without_a_checksum(tmp_path):
    builder = MovielensBehaviors(config="10m", data_dir=tmp_path)
    with pytest.raises(InputError, match=r"ml-10m.zip is not downloaded: get ml-10m.zip from"):
        builder.download_and_prepare(download_dir=tmp_path)


def test_other_counts_are_warned_of_in_one_line(tmp_path, ratings_1m):
    with pytest.warns(UserWarning, match="1 users instead of 6,040, 2 items instead") as caught:
        prepare(tmp_path, "1m", ratings_1m("1::2::3::4", "1::3::3::4"))
    (warning,) = [each for each in caught if "official" in str(each.message)]
    assert "\n" not in str(warning.message)
