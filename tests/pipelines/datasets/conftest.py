"""Fixtures of the dataset tests: small raw files in the formats of the real ones."""

import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest
import scipy.sparse

REPOSITORY = pathlib.Path(__file__).parents[3]


@pytest.fixture
def real_data():
    """Returns a function that finds a file of the real data; skips the test if it is absent."""
    root = pathlib.Path(os.environ.get("HMAR_TEST_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(relative):
        path = root / relative
        if not path.exists():
            pytest.skip(f"needs the real {relative} (HMAR_TEST_DATA)")
        return path

    return find


@pytest.fixture
def write_zip():
    """Returns a function that writes an archive from a dict of its files."""

    def write(path, files):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return write


@pytest.fixture
def ratings_1m(tmp_path, write_zip):
    """Returns a function that writes `ml-1m.zip` with the given lines into a new directory."""

    def write(*lines, directory="raw"):
        folder = tmp_path / directory
        folder.mkdir(exist_ok=True)
        content = "".join(line + "\n" for line in lines)
        write_zip(folder / "ml-1m.zip", {"ml-1m/ratings.dat": content})
        return folder

    return write


@pytest.fixture
def csr_files(tmp_path):
    """Returns a function that writes unpacked IJCAI-15 files, any of them replaced by an object."""

    def write(**replaced):
        empty = scipy.sparse.csr_matrix((3, 4), dtype=np.int64)
        click = scipy.sparse.csr_matrix(([5, 5, 7], ([0, 0, 2], [3, 1, 0])), shape=(3, 4))
        buy = scipy.sparse.csr_matrix(([5, 6], ([0, 2], [1, 2])), shape=(3, 4))
        files = {
            "trn_click": click,
            "trn_fav": empty,
            "trn_cart": empty,
            "trn_buy": buy,
            "tst_int": [None, None, 3],
        }
        folder = tmp_path / "csr"
        folder.mkdir(exist_ok=True)
        for name, content in (files | replaced).items():
            pickled = content if isinstance(content, bytes) else pickle.dumps(content)
            (folder / name).write_bytes(pickled)
        return folder

    return write
