"""The package depends only on keras and numpy, and its modules import in one direction."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

import hmar_keras

ROOT = pathlib.Path(hmar_keras.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ALLOWED = {"keras", "numpy", "hmar_keras", *sys.stdlib_module_names}
# A module imports only from lower ranks; modules of one package may import each other.
RANKS = {
    **{
        "version": 0,
        "settings": 0,
        "schema": 0,
        "masks": 1,
        "kernels": 1,
        "optimizers": 2,
        "layers": 2,
    },
    **{"presets": 1, "training_log": 3, "earlier_settings": 2, "losses": 3, "metrics": 3},
    **{"config": 3, "training_config": 3, "objectives": 4, "models": 5},
    **{"inspection": 6, "reasons": 6, "": 6},
}


def part_of(module):
    """Returns the module or package of `hmar_keras` in a dotted name, "" for `hmar_keras`."""
    return [*module.split("."), ""][1]


def imports_of(path):
    """Yields the dotted names of all modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            # `from hmar_keras import masks` imports a module, `from keras import ops` a name.
            yield from names if node.module == "hmar_keras" else [node.module]


def file_id(path):
    return str(path.relative_to(ROOT))


def test_every_file_has_a_rank():
    parts = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in FILES}
    assert {"" if part == "__init__" else part for part in parts} == set(RANKS)


@pytest.mark.parametrize("path", FILES, ids=file_id)
def test_imports(path):
    own = part_of(".".join(("hmar_keras", *path.relative_to(ROOT).with_suffix("").parts)))
    own = "" if own == "__init__" else own
    for module in imports_of(path):
        package = module.split(".")[0]
        assert package in ALLOWED
        if package == "hmar_keras":
            part = part_of(module)
            assert part in RANKS
            assert part == own or RANKS[part] < RANKS[own], f"{own} imports {module}"


def test_the_walk_sees_imports(tmp_path):
    text = "import a.b, c\nfrom hmar_keras import masks\ndef f():\n    from d.e import g\n"
    (tmp_path / "file.py").write_text(text)
    found = set(imports_of(tmp_path / "file.py"))
    assert found == {"a.b", "c", "hmar_keras.masks", "d.e"}


@pytest.mark.process
def test_importing_it_needs_no_other_backend():
    code = (
        "import sys, keras; before = set(sys.modules); import hmar_keras;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(*new & {'tensorflow', 'torch', 'jax', 'pipelines', 'tensorflow_datasets'})"
    )
    pytest.importorskip("jax")
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == []
