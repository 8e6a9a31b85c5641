"""A loaded version of a model: its signatures' inputs and outputs, and how to call them."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipelines.serving.limits import check_shape
from pipelines.serving.request_error import RequestError
from pipelines.serving.value_limits import check_values

DEFAULT_SIGNATURE = "serving_default"


class Signature:
    """A signature that fills in missing inputs by their defaults, as TensorFlow Serving does.

    Args:
        name: name of the signature.
        definition: its `SignatureDef`.
        session: runs the graph; several threads may use it.
    """

    def __init__(self, name: str, definition, session: tf.compat.v1.Session):
        self.name = name
        self.inputs = {
            key: tf.TensorSpec(info.tensor_shape, info.dtype, info.name)
            for key, info in definition.inputs.items()
        }
        self.outputs = tuple(sorted(definition.outputs))
        self._fetched = {key: info.name for key, info in definition.outputs.items()}
        self._defaults = {key: tf.make_ndarray(value) for key, value in definition.defaults.items()}
        self._session = session

    def __call__(
        self, inputs: dict[str, np.ndarray], wanted: Iterable[str] = ()
    ) -> dict[str, np.ndarray]:
        """Answers a request.

        Args:
            inputs: arrays by name; strings as bytes.
            wanted: names of the requested outputs; all if empty.

        Raises:
            RequestError: if inputs or outputs do not fit the signature, or TensorFlow fails.
        """
        wanted = tuple(wanted) or self.outputs
        self._check_outputs(wanted)
        self.check_names(inputs)
        for key, array in inputs.items():
            self.check_declared(key, tf.as_dtype(array.dtype), array.shape)
        check_values(inputs)
        fed = {self.inputs[key].name: value for key, value in (self._defaults | inputs).items()}
        try:
            return self._session.run({key: self._fetched[key] for key in wanted}, fed)
        except tf.errors.OpError as error:
            raise RequestError(_code(error), _sentence(error.message)) from error
        except UnicodeDecodeError as error:
            # TensorFlow's message quotes an input that is not valid UTF-8.
            message = error.object.decode(errors="backslashreplace")
            raise RequestError("INVALID_ARGUMENT", _sentence(message)) from error

    def ask_nothing(self) -> None:
        """Runs a blank request of one row, so that the first user does not wait for the graph.

        Raises:
            RequestError: if it fails for another reason than an invalid request.
        """
        blank = {}
        for name in set(self.inputs) - set(self._defaults):
            spec = self.inputs[name]
            shape = () if spec.shape.rank is None else [size or 1 for size in spec.shape]
            blank[name] = np.full(shape, b"" if spec.dtype == tf.string else 0, _dtype(spec))
        try:
            self(blank)
        except RequestError as error:
            if error.code != "INVALID_ARGUMENT":
                raise

    def _check_outputs(self, wanted):
        unknown = sorted(set(wanted) - set(self.outputs))
        if unknown or len(set(wanted)) < len(wanted):
            raise RequestError(
                "INVALID_ARGUMENT",
                f"the output filter must name some of {', '.join(self.outputs)}, each once, but it "
                f"names {', '.join(wanted)}.",
            )

    def check_names(self, names: Iterable[str]) -> None:
        """Checks that all required inputs are given, and no unknown ones.

        Raises:
            RequestError: if they are not.
        """
        unknown = sorted(set(names) - set(self.inputs))
        missing = sorted(set(self.inputs) - set(names) - set(self._defaults))
        if unknown or missing:
            raise RequestError(
                "INVALID_ARGUMENT",
                f"signature {self.name!r} takes the inputs {', '.join(sorted(self.inputs))}"
                + (f"; missing: {', '.join(missing)}" if missing else "")
                + (f"; unknown: {', '.join(unknown)}" if unknown else "")
                + ".",
            )

    def check_declared(self, name: str, dtype: tf.DType, shape: Sequence[int]) -> None:
        """Checks the type and shape of an input, whose values need not exist yet.

        Args:
            name: name of the input; unknown ones are left to the call.
            dtype: type of the values.
            shape: sizes by axis.

        Raises:
            RequestError: if the signature takes another type or shape, or it is too large.
        """
        spec = self.inputs.get(name)
        if spec is None:
            return
        check_shape(name, shape)
        if dtype != spec.dtype or not spec.shape.is_compatible_with(shape):
            expected = "any shape" if spec.shape.rank is None else f"shape {_axes(spec.shape)}"
            raise RequestError(
                "INVALID_ARGUMENT",
                f"input {name!r} must be {spec.dtype.name} of {expected}, but is {dtype.name} of "
                f"shape {_axes(shape)}.",
            )


class LoadedVersion:
    """A version in memory.

    Args:
        directory: `saved_models/NAME/VERSION`.

    Raises:
        Exception: of many types, if the directory does not hold a complete export.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        # A session, as in TensorFlow Serving, because tf.saved_model.load registers custom
        # gradients in a process-wide registry, which then keeps every graph in memory.
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        with graph.as_default(), _without_warnings():
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(directory))
        graph.finalize()  # several threads run it, so none may change it
        self.signature_defs = {}
        for name, definition in loaded.signature_def.items():
            # A copy, because the original would keep the entire graph definition in memory.
            self.signature_defs[name] = type(definition)()
            self.signature_defs[name].CopyFrom(definition)
        self.signatures = {
            name: Signature(name, definition, self._session)
            for name, definition in self.signature_defs.items()
            if definition.method_name  # the one that initialises tables has none
        }
        for signature in self.signatures.values():
            signature.ask_nothing()

    def signature(self, name: str) -> Signature:
        """Returns a signature by name, or the default one if the name is empty.

        Raises:
            RequestError: if there is none.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise RequestError(
                "FAILED_PRECONDITION", f"no signature {name!r}; the model has {known}."
            )
        return self.signatures[name]


@contextlib.contextmanager
def _without_warnings():
    """Silences TensorFlow's warnings that what its own server does is deprecated."""
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _dtype(spec):
    return np.dtype(spec.dtype.as_numpy_dtype)


def _axes(shape):
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"


def _code(error):
    codes = {
        tf.errors.InvalidArgumentError: "INVALID_ARGUMENT",
        tf.errors.ResourceExhaustedError: "RESOURCE_EXHAUSTED",
    }
    return codes.get(type(error), "INTERNAL")


def _sentence(message):
    """Returns TensorFlow's message, without the place in the graph and the compared values."""
    text = message.removeprefix("Graph execution error:").partition("\n\t [[")[0].strip()
    said = re.fullmatch(r"assertion failed: \[(.*?)\](?: \[.*)?", text, re.DOTALL)
    return " ".join((said[1] if said else text).split()) or "TensorFlow gives no reason."
