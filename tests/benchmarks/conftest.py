"""Makes the modules of `benchmarks/`, which run as scripts, importable from the tests."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path += [str(ROOT / "benchmarks"), str(ROOT / "tests" / "hmar_keras")]
