"""Every example runs in an empty directory and prints what `examples/README.md` shows."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
SECTIONS = dict(
    re.findall(
        r"^## (\S+)$(?:(?!^## ).)*?^```text\n(.*?)^```$",
        (EXAMPLES / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
EXTRAS = ("jax", "keras_rs", "torch")  # optional dependencies
NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")

every_example = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)


def shape(text):
    """Replaces every number by #, and ignores the widths of columns and rules."""
    lines = [
        re.sub(r"(\W)\1+", r"\1", NUMBER.sub("#", line)).strip()
        for line in text.splitlines()
        # curl may be missing.
        if shutil.which("curl") or not line.startswith("curl")
    ]
    return [line for line in lines if line]


def private_names(source):
    """Returns the names with a leading underscore that a script imports or uses."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            dotted = [getattr(node, "module", ""), *(alias.name for alias in node.names)]
            names |= {part for name in dotted for part in name.split(".")}
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
    return {name for name in names if re.match("_(?!_)", name)}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Returns an environment with this Python's `hmar` and a cache that the examples share."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "HMAR_CACHE": str(tmp_path_factory.mktemp("cache")), "PATH": path}


@pytest.mark.docs
@every_example
def test_it_runs_and_prints_what_is_shown(path, environment, tmp_path):
    lacking = [
        name
        for name in EXTRAS
        if re.search(rf"\b{name}\b", path.read_text()) and not importlib.util.find_spec(name)
    ]
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")
    process = subprocess.run(
        [sys.executable, path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert process.returncode == 0, process.stderr
    assert NUMBER.search(process.stdout.splitlines()[-1])
    assert not re.search(r"\b(nan|inf)\b", process.stdout)
    assert shape(process.stdout) == shape(SECTIONS[path.name])


@every_example
def test_it_is_short_and_uses_public_names(path):
    source = path.read_text()
    assert len(source.splitlines()) <= 150
    assert not private_names(source)
    assert f"python examples/{path.name}" in ast.get_docstring(ast.parse(source))


def test_private_names_are_seen():
    source = "import a._b\nfrom _c import d\nfrom e import _f\ng._h()\nsuper().__init__()\n"
    assert private_names(source) == {"_b", "_c", "_f", "_h"}


def test_the_shape_is_all_but_numbers():
    assert shape("a  -0.12 of 1,234\n────\n") == shape("a 3e-07 of 9\n──\n\n") == ["a # of #", "─"]
    assert shape("HMAR 0.1") != shape("HMAR nan") != shape("popularity nan")


def test_the_readme_shows_every_example_and_no_other():
    names = {path.name for path in SCRIPTS}
    rows = re.findall(r"^\| `(\S+\.py)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert set(SECTIONS) == names
    assert sorted(rows) == sorted(names)
