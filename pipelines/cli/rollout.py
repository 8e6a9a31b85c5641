"""The command `hmar rollout`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.runtime.terminal import prepare_keras, say

_MOST = (1 << 31) - 1  # the most threads that TensorFlow Serving's file can hold


def rollout_command(
    name: Annotated[str, typer.Option(help="Model name, a directory in MODELS.")],
    output: Annotated[str, typer.Option(help="Directory for the files that the server reads.")],
    models: Annotated[str, typer.Option(help="Directory of all models.")] = "saved_models",
    stable: Annotated[
        int | None,
        typer.Option(help=r"Version labelled stable. \[default: serve the latest, no label]"),
    ] = None,
    canary: Annotated[
        int | None, typer.Option(help="Version labelled canary, for some of the requests.")
    ] = None,
    keep: Annotated[
        list[int] | None,
        typer.Option(help="Version to load without a label; may be repeated."),
    ] = None,
    mounted_at: Annotated[str, typer.Option(help="Path of MODELS on the server.")] = "/models",
    max_batch_size: Annotated[
        int, typer.Option(help="Maximum histories per batch, a power of two.", min=1, max=_MOST)
    ] = 64,
    batch_timeout: Annotated[
        int, typer.Option(help="Microseconds a request waits for others.", min=0, max=_MOST)
    ] = 2000,
    batch_threads: Annotated[
        int, typer.Option(help="Number of batches to process in parallel.", min=1, max=_MOST)
    ] = 4,
):
    """Write TensorFlow Serving's configuration: versions and labels, batching, monitoring."""
    prepare_keras(backend="tensorflow")
    from pipelines.export.rollout import Batching, Rollout, write_rollout

    rollout = Rollout(name, stable, canary, tuple(keep or ()), mounted_at)
    batching = Batching(max_batch_size, batch_timeout, batch_threads)
    for path in write_rollout(rollout, batching, models, output):
        say(f"written: {path}")
