"""Names, cache and errors of `load_dataset`."""

import contextlib
import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.download_manager import (
    DownloadManager,
    NonMatchingChecksumError,
)

from pipelines.datasets import DATASETS, load_dataset, loading
from pipelines.datasets.log_builder import LogBuilder
from pipelines.runtime.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")

LINES = ("1::10::5::100", "1::11::1::100", "2::10::3::50")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def preparations(monkeypatch):
    """Returns a list that collects the name of every log that is read."""
    names = []
    shard_iterators = LogBuilder._shard_iterators_per_split

    def counted(self, dl_manager):
        names.append(self.name)
        return shard_iterators(self, dl_manager)

    monkeypatch.setattr(LogBuilder, "_shard_iterators_per_split", counted)
    return names


def assert_same(one, other):
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_entries_match_builders():
    for name, entry in DATASETS.items():
        builder_class = loading._import_builder(entry.builder)
        assert entry.configs == tuple(builder_class.builder_configs)
        if entry.configs:
            assert entry.default_config == builder_class.DEFAULT_BUILDER_CONFIG_NAME
        sources = builder_class.sources(entry.default_config)
        assert entry.needs_files == (sources is not None and sources.url is None), name


def test_unchanged_source_is_served_from_cache(ratings_1m, cache, preparations):
    folder = ratings_1m(*LINES)
    first = load_dataset("movielens", folder, cache)
    assert_same(load_dataset("movielens/1m", folder / "ml-1m.zip", cache), first)
    assert len(preparations) == 1
    assert first.name == "movielens/1m"
    assert first.users.tolist() == ["1", "2"]
    assert first.items[first.item_ids - 1].tolist() == ["10", "11", "10"]
    assert first.behavior_ids.tolist() == [3, 1, 2]


def test_changed_source_is_prepared_again(ratings_1m, cache, preparations):
    load_dataset("movielens", ratings_1m(*LINES), cache)
    changed = load_dataset("movielens", ratings_1m(*LINES, "3::12::4::60"), cache)
    assert changed.num_users == 3
    assert len(preparations) == 2


def test_touched_source_of_equal_size_is_prepared_again(ratings_1m, cache, preparations):
    folder = ratings_1m(*LINES)
    load_dataset("movielens", folder, cache)
    os.utime(folder / "ml-1m.zip", ns=(1, 1))
    load_dataset("movielens", folder, cache)
    assert len(preparations) == 2


def test_changed_shop_is_simulated_again(cache, preparations, monkeypatch):
    first = load_dataset("synthetic_shop/tiny", cache_dir=cache)
    builder_class = loading._import_builder(DATASETS["synthetic_shop"].builder)
    config = builder_class.builder_configs["tiny"]
    monkeypatch.setattr(config, "shop", dataclasses.replace(config.shop, seed=1))
    other = load_dataset("synthetic_shop/tiny", cache_dir=cache)
    assert len(preparations) == 2
    assert not np.array_equal(first.timestamps[:50], other.timestamps[:50])


def test_cache_by_environment(ratings_1m, cache, monkeypatch):
    monkeypatch.setenv("HMAR_CACHE", str(cache))
    load_dataset("movielens", ratings_1m(*LINES))
    assert any(cache.glob("movielens-1m-*"))


def test_another_process_was_faster(ratings_1m, cache, monkeypatch, preparations):
    folder = ratings_1m(*LINES)
    locked = loading.locked_directory

    @contextlib.contextmanager
    def overtaken(directory, tell):
        monkeypatch.setattr(loading, "locked_directory", locked)
        load_dataset("movielens", folder, cache)
        with locked(directory, tell):
            yield

    monkeypatch.setattr(loading, "locked_directory", overtaken)
    assert load_dataset("movielens", folder, cache).num_users == 2
    assert len(preparations) == 1


def test_waiting_for_another_process_is_said(ratings_1m, cache, monkeypatch, capsys):
    files = ratings_1m(*LINES)
    load_dataset("movielens", files, cache)
    (folder,) = cache.glob("movielens-1m-*")
    shutil.rmtree(folder)
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # acts like another process, through another descriptor

    def say_and_end(text):
        say_if_heard(text)
        os.close(descriptor)

    say_if_heard = loading.say_if_heard
    monkeypatch.setattr(loading, "say_if_heard", say_and_end)
    assert capsys.readouterr().err == ""
    assert load_dataset("movielens", files, cache).num_users == 2
    assert capsys.readouterr().err == "waiting for another process that is preparing movielens/1m\n"


def test_downloads(ratings_1m, cache, monkeypatch, preparations):
    archive = ratings_1m(*LINES) / "ml-1m.zip"
    urls = []
    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: None)
    monkeypatch.setattr(DownloadManager, "download", lambda self, url: urls.append(url) or archive)
    dataset = load_dataset("movielens", cache_dir=cache)
    # Prepared data needs neither the network nor permission to use it.
    assert_same(load_dataset("movielens", cache_dir=cache, download=False), dataset)
    assert urls == ["https://files.grouplens.org/datasets/movielens/ml-1m.zip"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (requests.ConnectionError("no route"), r"cannot be downloaded \(no route\); get ml-1m.zip"),
        (tfds.download.DownloadError("404"), r"cannot be downloaded \(404\); get ml-1m.zip"),
        (NonMatchingChecksumError("bad\nchecksum"), "does not match its recorded checksum; get"),
    ],
)
def test_failed_downloads(error, message, cache, monkeypatch):
    def fail(self, url):
        raise error

    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: None)
    monkeypatch.setattr(DownloadManager, "download", fail)
    assert_input_error(message, "movielens/1m", cache_dir=cache)


def test_no_network(cache, monkeypatch):
    def fail(*args, **kwargs):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests, "head", fail)
    message = r"ml-1m.zip cannot be downloaded \(no route\); get ml-1m.zip from .* --data-dir"
    assert_input_error(message, "movielens", cache_dir=cache)


def assert_input_error(message, *args, **kwargs):
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(*args, **kwargs)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("netflix", "unknown dataset 'netflix'; available: synthetic_shop, movielens, ijcai15"),
        ("", "unknown dataset ''; available: "),
        ("movielens/2m", "unknown dataset 'movielens/2m'; available: movielens/100k, movielens/1m"),
        ("ijcai15/small", "unknown dataset 'ijcai15/small'; available: only ijcai15"),
    ],
)
def test_unknown_names(name, message, cache):
    assert_input_error(message, name, cache_dir=cache)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "ijcai15",
            "ijcai15 cannot be downloaded: get IJCAI_15.zip from https://.* as --data-dir",
        ),
        ("movielens/10m", "movielens/10m cannot be downloaded: get ml-10m.zip from"),
        ("movielens", r"movielens/1m is not in .*cache yet: get ml-1m.zip from"),
    ],
)
def test_without_files(name, message, cache):
    assert_input_error(message, name, cache_dir=cache, download=False)


def test_missing_data_directory(tmp_path, cache):
    assert_input_error("absent does not exist; get ml-1m", "movielens", tmp_path / "absent", cache)


def test_empty_data_directory(tmp_path, cache):
    assert_input_error("neither ml-1m.zip nor the unpacked ratings.dat", "movielens", tmp_path)


def test_missing_matrix(csr_files, cache):
    folder = csr_files()
    (folder / "trn_fav").unlink()
    assert_input_error("lacks trn_fav", "ijcai15", folder, cache)


def test_hostile_matrix(csr_files, cache):
    folder = csr_files(trn_cart=b"cos\nsystem\n(S'false'\ntR.")
    assert_input_error("trn_cart is refused: it names os.system", "ijcai15", folder, cache)
    assert not list(cache.glob("ijcai15-*/ijcai15/*"))  # nothing incomplete


def test_truncated_archive(ratings_1m, cache):
    archive = ratings_1m(*LINES) / "ml-1m.zip"
    archive.write_bytes(archive.read_bytes()[:-40])
    assert_input_error("ml-1m.zip is not a complete zip archive", "movielens", archive, cache)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1::2::good::4", "ratings.dat in .*ml-1m.zip does not hold numbers for"),
        ("1::2::3", "ratings.dat in .*ml-1m.zip does not hold"),
        ("", "ratings.dat in .*ml-1m.zip is empty"),
    ],
)
def test_bad_ratings(line, message, ratings_1m, cache):
    assert_input_error(message, "movielens", ratings_1m(line), cache)


def test_data_directory_for_the_shop(tmp_path, cache):
    assert_input_error("reads no files; leave out", "synthetic_shop/tiny", tmp_path, cache)


def test_unwritable_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")
    message = "the cache directory .*file/cache cannot be written .* choose another"
    assert_input_error(message, "synthetic_shop/tiny", cache_dir=tmp_path / "file" / "cache")


def test_full_disk(cache, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LogBuilder, "_examples", fail)
    message = "synthetic_shop/tiny cannot be prepared in .*No space left"
    assert_input_error(message, "synthetic_shop/tiny", cache_dir=cache)


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-100])]
)
@pytest.mark.parametrize("name", ["*.tfrecord*", "dataset_info.json", "metadata.json"])
def test_damaged_records(name, damage, cache):
    load_dataset("synthetic_shop/tiny", cache_dir=cache)
    (file,) = cache.glob(f"*/*/*/1.0.0/{name}")
    damage(file)
    message = "the prepared records in .* are damaged; delete that folder"
    assert_input_error(message, "synthetic_shop/tiny", cache_dir=cache)


FRESH_PROCESS = """
    import os, signal, sys
    import pipelines.datasets
    assert "tensorflow" not in sys.modules
    from pipelines.datasets import load_dataset

    load_dataset("synthetic_shop/tiny", cache_dir=sys.argv[1])

    from pipelines.datasets.log_builder import LogBuilder
    examples = LogBuilder._examples

    def killed(self, *shard):
        for user, example in examples(self, *shard):
            if user == "150":
                os.kill(os.getpid(), signal.SIGKILL)
            yield user, example

    LogBuilder._examples = killed
    load_dataset("synthetic_shop/tiny", cache_dir=sys.argv[2])
"""


@pytest.mark.process
def test_other_process_prepares_and_is_killed(tmp_path, preparations):
    whole, half = tmp_path / "whole", tmp_path / "half"
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FRESH_PROCESS), whole, half],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=300,
    )
    assert process.returncode == -9, process.stderr
    assert process.stdout == ""
    assert "it/s" not in process.stderr and "examples" not in process.stderr

    dataset = load_dataset("synthetic_shop/tiny", cache_dir=whole)
    assert not preparations  # the other process's records and metadata are complete
    assert list(half.glob("**/incomplete.*"))
    assert list(half.glob("**/scratch.*"))
    assert_same(load_dataset("synthetic_shop/tiny", cache_dir=half), dataset)
    assert len(preparations) == 1
    assert dataset.num_users == 200
    assert not list(half.glob("**/incomplete.*"))
    assert not list(half.glob("**/scratch.*"))
