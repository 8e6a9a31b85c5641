"""Custom models: Python files that register them, imported before a command runs.

    hmar --import gru.py train --model gru --output runs/gru
    hmar --import gru.py evaluate runs/gru

A file registers its models with `hmar_keras.register_model`. Runs do not record the file: a run
directory that said which code to run would be code itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pipelines.runtime.errors import InputError

# Passes the files to the processes that a command starts, as a JSON list because a name may contain
# a ':'; users separate names as in PATH.
VARIABLE = "HMAR_IMPORT"


def choose_files(paths: Iterable[Path]) -> None:
    """Sets the files that `import_chosen_files` imports, here and in processes started later.

    Raises:
        InputError: if one of them is missing or is not a Python file.
    """
    files = [path.expanduser().absolute() for path in paths]
    for file in files:
        _check(file)
    os.environ[VARIABLE] = json.dumps([str(file) for file in files])


def files_of_environment() -> list[Path]:
    """Returns the files that the environment names.

    Raises:
        InputError: if the variable begins like JSON but is not valid JSON.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        is_list = text.startswith('["') or text == "[]"
        names = json.loads(text) if is_list else text.split(os.pathsep)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{VARIABLE} begins like JSON but is not a list of files; separate files by "
            f"{os.pathsep!r}."
        ) from error
    return [Path(name) for name in names if name]


def import_chosen_files() -> None:
    """Imports the chosen files, each once per process. Keras must be ready.

    Raises:
        InputError: if one of them is missing, is not a Python file, or fails.
    """
    for path in map(str, files_of_environment()):
        name = f"hmar_import {path}"  # not a name that an import statement can have
        if name not in sys.modules:
            _check(Path(path))
            _import(name, path)


def _check(file):
    if file.suffix != ".py" or not file.is_file():
        raise InputError(
            f"{file}, named by --import or {VARIABLE}, is not a Python file; give the path of a "
            ".py file."
        )


def _import(name, path):
    folder = str(Path(path).parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for imports from its own folder; last in the search order
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
        raise InputError(f"--import {path} failed ({reason}); fix the file.") from error
