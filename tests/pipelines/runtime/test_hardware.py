import os
import subprocess
import sys

import pytest

from pipelines.runtime import hardware as module
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware


@pytest.fixture
def machine(monkeypatch):
    """Returns a function that fakes a backend, with or without an accelerator."""

    def pretend(backend, accelerator):
        monkeypatch.setattr(module, "_backend", lambda: backend)
        monkeypatch.setattr(Hardware, "has_accelerator", lambda self: accelerator)

    return pretend


@pytest.mark.parametrize(
    ("backend", "accelerator", "devices", "jit_compile", "steps", "on_device"),
    [
        ("tensorflow", False, 1, False, 1, False),
        ("tensorflow", True, 1, True, 16, False),
        ("tensorflow", True, 2, False, 1, False),
        ("jax", False, 1, True, 1, False),
        ("jax", True, 1, True, 16, True),
        ("jax", True, 4, True, 1, False),
    ],
)
def test_what_is_left_open_suits_the_machine(
    machine, backend, accelerator, devices, jit_compile, steps, on_device
):
    machine(backend, accelerator)
    resolved = Hardware(devices=devices).resolved()
    assert resolved == Hardware(devices, "float32", jit_compile, steps, on_device)
    assert resolved.resolved() == resolved


def test_what_is_asked_for_is_done(machine):
    machine("tensorflow", True)
    asked = Hardware(1, "mixed_float16", False, 3, False)
    assert asked.resolved() == asked


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"devices": 0}, "at least 1, got 0"),
        ({"precision": "float8"}, "mixed_bfloat16, mixed_float16, got 'float8'"),
        ({"steps_per_execution": 0}, "at least 1, got 0"),
    ],
)
def test_what_no_machine_can_do_is_refused(arguments, part):
    with pytest.raises(InputError, match=part):
        Hardware(**arguments)


@pytest.mark.parametrize(
    ("backend", "arguments", "part"),
    [
        ("jax", {"jit_compile": False}, "--no-xla"),
        ("jax", {"precision": "mixed_float16"}, "mixed_bfloat16"),
        ("jax", {"devices": 2, "data_on_device": True}, "a single device"),
        ("tensorflow", {"data_on_device": True}, "KERAS_BACKEND=jax"),
        ("tensorflow", {"devices": 2, "jit_compile": True}, "XLA"),
        ("tensorflow", {"devices": 2, "steps_per_execution": 2}, "steps? per execution"),
        ("tensorflow", {"devices": 2, "precision": "mixed_float16"}, "mixed_bfloat16"),
    ],
)
def test_what_a_backend_cannot_do_is_refused(machine, backend, arguments, part):
    machine(backend, accelerator=False)
    with pytest.raises(InputError, match=part):
        Hardware(**arguments).resolved()


@pytest.mark.parametrize("chosen", [None, "/somewhere/else"])
def test_compiled_steps_are_kept_where_the_user_says(machine, monkeypatch, tmp_path, chosen):
    jax = pytest.importorskip("jax")
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    monkeypatch.setenv("HMAR_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "keep_tensorflow_off_gpus_of_jax", lambda: None)
    try:
        jax.config.update("jax_compilation_cache_dir", chosen)
        for accelerator, expected in [
            (False, chosen),
            (True, chosen or str(tmp_path / "compiled")),
        ]:
            machine("jax", accelerator)
            Hardware().prepare()
            assert jax.config.jax_compilation_cache_dir == expected
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_more_accelerators_than_there_are_are_refused(machine, monkeypatch):
    machine("tensorflow", accelerator=True)
    monkeypatch.setattr(module, "_device_names", lambda: ["GPU:0", "GPU:1"])
    assert Hardware(devices=2).device_names() == ["GPU:0", "GPU:1"]
    with pytest.raises(InputError, match="has 2 accelerators"):
        Hardware(devices=3).device_names()


@pytest.mark.process
def test_devices_can_be_made_after_keras_is_prepared_without():
    """Like a worker of a search, which learns from its chief which devices to use."""
    pytest.importorskip("jax")
    code = (
        "from pipelines.runtime.terminal import prepare_keras; prepare_keras()\n"
        "from pipelines.runtime.hardware import Hardware; Hardware(devices=2).prepare()\n"
        "print(len(Hardware(devices=2).device_names()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.split() == ["2"], ran.stderr
