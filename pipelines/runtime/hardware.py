"""What a training runs on and how: devices, precision, compilation.

TensorFlow and JAX fix their devices when they first use one, so `Hardware.prepare` must be called
before anything else that uses one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os

from pipelines.runtime.cache_directory import cache_directory
from pipelines.runtime.errors import InputError

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STEPS_ON_GPU = 16  # enough to hide Python's overhead between two steps of a small model


@dataclasses.dataclass(frozen=True)
class Hardware:
    """How a training uses the machine.

    Args:
        devices: number of devices that share the rows of every batch. Without accelerators they
            are logical CPU devices, which are only useful for trying it out.
        precision: what the model computes in. Weights, losses and the saved model are float32.
        jit_compile: whether XLA compiles the training step; None for yes under JAX and on a single
            GPU, and otherwise no. On CPUs under TensorFlow it makes the step slower, and on several
            devices TensorFlow does not support it.
        steps_per_execution: at most this many steps per execution, without Keras between them;
            None for 16 on a single GPU and otherwise 1.
        data_on_device: whether the log is kept in the device's memory and batches are made there,
            which needs JAX and a single device; None for yes if that device is a GPU. Otherwise
            the host makes the batches.

    Raises:
        InputError: if a value is not valid on any machine.
    """

    devices: int = 1
    precision: str = "float32"
    jit_compile: bool | None = None
    steps_per_execution: int | None = None
    data_on_device: bool | None = None

    def __post_init__(self):
        if self.devices < 1:
            raise InputError(f"the number of devices must be at least 1, got {self.devices}.")
        if self.precision not in PRECISIONS:
            raise InputError(
                f"the precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}."
            )
        if self.steps_per_execution is not None and self.steps_per_execution < 1:
            raise InputError(
                f"the steps per execution must be at least 1, got {self.steps_per_execution}."
            )

    def prepare(self) -> None:
        """Creates the devices. Call it first; they stay until the process ends.

        Under JAX it also keeps TensorFlow, which only feeds the data, off the GPUs. On GPUs it
        caches JAX's compiled steps for later trainings, in the cache directory.

        Raises:
            InputError: if the backend or the machine cannot do what is requested.
        """
        keep_tensorflow_off_gpus_of_jax()
        if self.devices > 1:
            _make_cpu_devices(self.devices)
        self.resolved()
        if self.devices > 1:
            self.device_names()
        if _backend() == "jax" and self.has_accelerator():
            _keep_compiled_steps()

    def resolved(self) -> Hardware:
        """Returns a copy in which no value is None.

        Raises:
            InputError: if the backend cannot do what is requested.
        """
        if _backend() == "jax":
            if self.jit_compile is False:
                raise InputError("JAX always compiles with XLA; leave out --no-xla.")
            if self.precision == "mixed_float16" and not self.has_accelerator():
                raise InputError("JAX does not multiply in float16 on CPUs; use mixed_bfloat16.")
        elif self.devices > 1:
            self._check_mirrored()
        if self.data_on_device and (_backend() != "jax" or self.devices > 1):
            raise InputError(
                "data on the device needs KERAS_BACKEND=jax and a single device; leave out "
                "--data-on-device."
            )
        alone_on_gpu = self.devices == 1 and self.has_accelerator()
        jit_compile = _or(self.jit_compile, _backend() == "jax" or alone_on_gpu)
        return dataclasses.replace(
            self,
            jit_compile=jit_compile,
            steps_per_execution=_or(self.steps_per_execution, STEPS_ON_GPU if alone_on_gpu else 1),
            data_on_device=_or(self.data_on_device, _backend() == "jax" and alone_on_gpu),
        )

    def has_accelerator(self) -> bool:
        """Returns whether the backend computes on an accelerator."""
        if _backend() == "jax":
            import jax

            return jax.default_backend() != "cpu"
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))

    def device_names(self) -> list[str]:
        """Returns the backend's names of the devices that share the batches.

        Raises:
            InputError: if there are too few.
        """
        names = _device_names()
        if len(names) >= self.devices:
            return names[: self.devices]
        if self.has_accelerator():
            raise InputError(
                f"this machine has {len(names)} accelerators; request no more --devices than that."
            )
        raise InputError(
            f"{_backend()} has already started with {len(names)} CPU devices, too few for "
            f"{self.devices}; call Hardware.prepare() first in a new process."
        )

    def _check_mirrored(self):
        """Refuses what TensorFlow's MirroredStrategy cannot do, or does wrong."""
        what = None
        if self.jit_compile:
            what = "XLA"
        elif (self.steps_per_execution or 1) > 1:
            what = "more than one step per execution"
        elif self.precision == "mixed_float16":
            # Keras only looks for overflow in the gradients of the first replica.
            what = "mixed_float16 (mixed_bfloat16 works)"
        if what:
            raise InputError(
                f"on several devices TensorFlow does not support {what}; leave it out, or train "
                "with KERAS_BACKEND=jax."
            )


def _or(value, default):
    return default if value is None else value


def _backend():
    import keras

    return keras.backend.backend()


def keep_tensorflow_off_gpus_of_jax() -> None:
    """Reserves the GPUs for JAX, if it is the backend, because TensorFlow would take them, too.

    Raises:
        InputError: if TensorFlow already has them.
    """
    if _backend() != "jax":
        return
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        raise InputError(
            "TensorFlow has already taken the GPUs that JAX needs; call Hardware.prepare() first "
            "in a new process."
        ) from error


def cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _keep_compiled_steps():
    import jax

    # Each length takes 5 to 14 s to compile. A directory that the user has chosen is kept.
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _make_cpu_devices(number):
    """Creates logical CPU devices; once the runtime has started, their number stays as it is."""
    with contextlib.suppress(RuntimeError):
        if _backend() == "jax":
            import jax

            jax.config.update("jax_num_cpu_devices", number)
        else:
            import tensorflow as tf

            (cpu,) = tf.config.list_physical_devices("CPU")
            device = tf.config.LogicalDeviceConfiguration()
            tf.config.set_logical_device_configuration(cpu, [device] * number)


def _device_names():
    if _backend() == "jax":
        import keras

        return keras.distribution.list_devices()
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]
