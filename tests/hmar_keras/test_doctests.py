"""The examples in the docstrings give the results they show."""

import doctest
import importlib
import pkgutil
from unittest import mock

import pytest

import hmar_keras
from hmar_keras.models import MODELS

MODULES = ["hmar_keras"] + [
    module.name for module in pkgutil.walk_packages(hmar_keras.__path__, "hmar_keras.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    # Models that an example registers must not leak into other tests.
    with mock.patch.dict(MODELS):
        failed, attempted = doctest.testmod(module, verbose=False)
    assert failed == 0
    with open(module.__file__, encoding="utf-8") as file:
        assert attempted == file.read().count(">>> ")
