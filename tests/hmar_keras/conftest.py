"""Makes the helper modules in this folder importable from every test below it."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.append(str(pathlib.Path(__file__).parent))


def pytest_configure(config):
    # Keras itself triggers this warning under NumPy 2.
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation:DeprecationWarning")
