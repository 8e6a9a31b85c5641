"""The wheel contains the files of the tree, and the package passes type checks."""

import email
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import hmar_keras

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("hmar_keras", "pipelines")


def tracked(*places):
    """Returns the files that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *places]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in found.split("\0") if name and (ROOT / name).is_file()}


def copy(directory):
    """Copies only the files of git, because leftovers of other builds would get into the wheel."""
    for name in tracked():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds the wheel from the sdist; returns its names, metadata and entry points."""
    tree, output = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("built")
    copy(tree)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", output, tree]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    assert len(list(output.glob("*.tar.gz"))) == 1
    (path,) = output.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (information,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        (points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
        metadata = email.message_from_bytes(wheel.read(information))
        return names, metadata, wheel.read(points).decode()


def test_the_wheel_holds_the_packages_with_their_data(built):
    names, _, _ = built
    # Only tests need the dummy data.
    wanted = {name for name in tracked(*PACKAGES) if "/dummy_data/" not in name}
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_the_wheel_says_what_it_is(built):
    names, metadata, points = built
    assert metadata["Name"] == PROJECT["name"]
    assert metadata["Version"] == hmar_keras.__version__
    assert metadata["License-Expression"] == PROJECT["license"]
    assert any(name.endswith("/LICENSE") for name in names)
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert metadata.get_payload().startswith("# HMAR for Keras 3")
    assert f"hmar = {PROJECT['scripts']['hmar']}" in points


def test_the_types_of_hmar_keras_are_sound(tmp_path):
    command = [sys.executable, "-m", "mypy", "--cache-dir", tmp_path, "hmar_keras"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout


OWN_MODEL = """
import dataclasses
from typing import Any

from hmar_keras import NextItemConfig, Objective, Query, SequentialRecommender
from hmar_keras import register_model, setting
from hmar_keras.training_log import TrainingLog


@dataclasses.dataclass(frozen=True)
class MineConfig(NextItemConfig):
    taste: float = setting(0.5, at_least=0)


@register_model("mine")
class Mine(SequentialRecommender):
    Settings = MineConfig
    features = ("item_ids", "user_ids")

    def prepare(self, log: TrainingLog) -> None:
        log.popularity().max()

    def objective(self) -> Objective:
        return super().objective()

    def query(self, features: Any) -> Query | None:
        return None


def twice(config: MineConfig) -> float:
    return config.replace(taste=0.1).taste * 2
"""


def test_the_types_of_an_own_model_are_sound(tmp_path):
    """Runs mypy's strict mode on the annotations that the package ships."""
    (tmp_path / "mine.py").write_text(OWN_MODEL)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    command += ["--cache-dir", tmp_path, tmp_path / "mine.py"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout
