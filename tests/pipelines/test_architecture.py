"""The architecture: which package may import which, and how large files and functions are."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

import pipelines

ROOT = pathlib.Path(pipelines.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)
# A package imports only from packages before it.
ORDER = [
    *("runtime", "storage", "datasets", "protocol", "evaluation", "description", "training"),
    *("export", "serving", "workflow", "experiments", "tuning", "report", "cli"),
]
MOST_LINES, MOST_PARAMETERS = 400, 12


def imported(path):
    """Yields the dotted names of `pipelines` modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("pipelines."))


def module_of(dotted):
    """Returns the file of a dotted name, which may name a module or something in a module."""
    parts = dotted.split(".")[1:]
    while parts:
        place = ROOT.joinpath(*parts)
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
        parts.pop()
    raise AssertionError(f"{dotted} is not a module")


def test_nothing_stands_at_the_top_but_the_package():
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(ORDER)


def test_packages_look_down_only():
    for path in FILES:
        own = path.relative_to(ROOT).parts[0]
        for name in imported(path):
            other = name.split(".")[1]
            assert ORDER.index(other) <= ORDER.index(own), f"{path} imports {name}"


def test_no_modules_import_each_other_in_a_circle():
    arrows = {path: {module_of(name) for name in imported(path)} - {path} for path in FILES}
    done = set()
    while arrows.keys() - done:
        free = {path for path in arrows.keys() - done if arrows[path] <= done}
        assert free, sorted(str(path) for path in arrows.keys() - done)
        done |= free


def test_files_and_parameter_lists_are_short():
    for path in [*FILES, *(ROOT.parent / "hmar_keras").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < MOST_LINES, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                count = len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
                assert count < MOST_PARAMETERS, f"{path}: {node.name}"


@pytest.mark.backends
def test_evaluation_under_jax_needs_no_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import pipelines.evaluation.baselines, pipelines.evaluation.evaluator\n"
        "import pipelines.protocol.negatives, pipelines.protocol.splits\n"
        "import pipelines.description.numbers"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=ROOT.parent,
        check=True,
    )
