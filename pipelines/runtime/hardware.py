"""What a training runs on and how: devices, precision, compilation.

TensorFlow and JAX settle their devices when they first touch one, so `Hardware.prepare` comes
before anything that does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os

from pipelines.runtime.cache_directory import cache_directory
from pipelines.runtime.errors import InputError

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STEPS_ON_GPU = 16  # enough to hide what Python takes between two steps of a small model


@dataclasses.dataclass(frozen=True)
class Hardware:
    """How a training uses the machine.

    Args:
        devices: how many devices share the rows of every batch. Without accelerators they are
            logical CPU devices, which is for trying it out.
        precision: what the model computes in. Weights, losses and the saved model are float32.
        jit_compile: whether XLA compiles the training step; None for what suits the device: yes
            under JAX and on a GPU, no on CPUs under TensorFlow, where it makes the step slower.
        steps_per_execution: at most this many steps at once, without Keras between them; None
            for 16 on one GPU and otherwise 1.
        data_on_device: whether the log waits in the device's memory and batches are made there;
            under JAX on one device alone, and None for yes there on a GPU. Otherwise the host
            makes the batches.

    Raises:
        InputError: if a value will not do on any machine.
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
        """Makes the devices. Call it first; what it made stays until the process ends.

        Under JAX it also keeps TensorFlow, which only feeds the data, off the GPUs, and on these
        it keeps compiled steps for later trainings, in the cache directory.

        Raises:
            InputError: if the backend or the machine cannot do what is asked for.
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
        """The same with nothing left open.

        Raises:
            InputError: if the backend cannot do what is asked for.
        """
        if _backend() == "jax":
            if self.jit_compile is False:
                raise InputError("JAX always compiles with XLA; leave out --no-xla.")
            if self.precision == "mixed_float16" and not self.has_accelerator():
                raise InputError("JAX does not multiply in float16 on CPUs; take mixed_bfloat16.")
        elif self.devices > 1:
            self._check_mirrored()
        if self.data_on_device and (_backend() != "jax" or self.devices > 1):
            raise InputError(
                "the data can be on the device with KERAS_BACKEND=jax and one device alone; leave "
                "out --data-on-device."
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
        """Whether the backend computes on an accelerator."""
        if _backend() == "jax":
            import jax

            return jax.default_backend() != "cpu"
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))

    def device_names(self) -> list[str]:
        """The devices that share the batches, as the backend calls them.

        Raises:
            InputError: if there are fewer.
        """
        names = _device_names()
        if len(names) >= self.devices:
            return names[: self.devices]
        if self.has_accelerator():
            raise InputError(
                f"this machine has {len(names)} accelerators; ask for no more --devices than that."
            )
        raise InputError(
            f"{_backend()} has already started with {len(names)} CPU devices, too few for "
            f"{self.devices}; call Hardware.prepare() first in a new process."
        )

    def _check_mirrored(self):
        """What TensorFlow's MirroredStrategy cannot do, or not right."""
        what = None
        if self.jit_compile:
            what = "XLA"
        elif (self.steps_per_execution or 1) > 1:
            what = "more than one step per execution"
        elif self.precision == "mixed_float16":
            # Keras looks for overflow in the gradients of the first replica alone.
            what = "mixed_float16 (mixed_bfloat16 does)"
        if what:
            raise InputError(
                f"on several devices TensorFlow does not do {what}; leave it out, or train with "
                "KERAS_BACKEND=jax."
            )


def _or(value, default):
    return default if value is None else value


def _backend():
    import keras

    return keras.backend.backend()


def keep_tensorflow_off_gpus_of_jax() -> None:
    """Under JAX leaves it the GPUs, which TensorFlow would take, too.

    Raises:
        InputError: if TensorFlow has them already.
    """
    if _backend() != "jax":
        return
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        raise InputError(
            "TensorFlow has already taken the GPUs that JAX shall use; call Hardware.prepare() "
            "first in a new process."
        ) from error


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _keep_compiled_steps():
    import jax

    # A length takes 5 to 14 s to compile. Where the user has chosen a place, it stays his.
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _make_cpu_devices(number):
    """Logical CPU devices, unless the runtime has started: then there are what there are."""
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
