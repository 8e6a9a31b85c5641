"""What the commands have in common: a quiet Keras, and messages on standard error."""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Iterable

from rich.console import Console

from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware, keep_tensorflow_off_gpus_of_jax
from pipelines.runtime.own_models import import_chosen_files
from pipelines.runtime.printable import printable

_BACKENDS = ("tensorflow", "jax")


def prepare_keras(hardware: Hardware | None = None, backend: str | None = None) -> None:
    """Imports Keras without TensorFlow's noise, and imports the user's custom models.

    Call it before anything that imports Keras or TensorFlow.

    Args:
        hardware: what to train on, whose devices are created; None to touch no device yet.
        backend: the required backend, whatever KERAS_BACKEND says; None for the user's choice.

    Raises:
        InputError: if the backend or the machine cannot do what is requested, or a file of custom
            models fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow has oneDNN's kernels, but on many CPUs it only uses them when told to;
    # docs/pages/benchmarks.md says how much they save.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    if os.environ.setdefault("KERAS_BACKEND", "tensorflow") not in _BACKENDS:
        raise InputError(
            f"the pipelines run on {' and '.join(_BACKENDS)}; set KERAS_BACKEND to one of them, "
            "or unset it."
        )
    # One line, without the place in our code, which is of no use to the user.
    warnings.formatwarning = lambda message, *place, **more: f"warning: {message}\n"
    with _quiet():
        try:
            import keras  # noqa: F401
        except ModuleNotFoundError as error:
            raise InputError(
                f"KERAS_BACKEND={os.environ['KERAS_BACKEND']} needs {error.name}; install it."
            ) from error
        if hardware:
            hardware.prepare()
        else:
            keep_tensorflow_off_gpus_of_jax()
    import_chosen_files()


@contextlib.contextmanager
def _quiet():
    # During import, TensorFlow writes about the machine to stderr whatever the log level.
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def say(text: str) -> None:
    """Prints text on standard error; makes control characters other than line breaks visible."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    lines = [printable(line) for line in text.split("\n")]
    console.print("\n".join(lines), markup=False, emoji=False)


def print_answer(pairs: Iterable[tuple[str, float]], reasons: Iterable[str] = ()) -> None:
    """Prints (item, score) pairs on standard output, one per line, with their reasons, if any."""
    for (item, score), reason in itertools.zip_longest(pairs, reasons):
        ending = f"\t{printable(reason)}" if reason is not None else ""
        print(f"{printable(item)}\t{score:.4f}{ending}")


def say_if_heard(text: str) -> None:
    """Prints a line on standard error, and ignores that nobody may be reading it."""
    # Rich raises SystemExit on a closed pipe.
    with contextlib.suppress(OSError, ValueError, SystemExit):
        say(text)
