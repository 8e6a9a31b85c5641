"""The command `hmar rollout`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.runtime.terminal import prepare_keras, say

_MOST = (1 << 31) - 1  # TensorFlow Serving's file holds no more threads


def rollout_command(
    name: Annotated[str, typer.Option(help="Name of the model, a directory in MODELS.")],
    output: Annotated[str, typer.Option(help="Directory that the server reads its files from.")],
    models: Annotated[str, typer.Option(help="Directory of all models.")] = "saved_models",
    stable: Annotated[
        int | None,
        typer.Option(help=r"Version under the label stable. \[default: the latest, no label]"),
    ] = None,
    canary: Annotated[
        int | None, typer.Option(help="Version under the label canary, for some of the requests.")
    ] = None,
    keep: Annotated[
        list[int] | None,
        typer.Option(help="A version to be loaded without a label; may be repeated."),
    ] = None,
    mounted_at: Annotated[str, typer.Option(help="Where the server sees MODELS.")] = "/models",
    max_batch_size: Annotated[
        int, typer.Option(help="Most histories in a batch, a power of two.", min=1, max=_MOST)
    ] = 64,
    batch_timeout: Annotated[
        int, typer.Option(help="Microseconds that a request waits for others.", min=0, max=_MOST)
    ] = 2000,
    batch_threads: Annotated[
        int, typer.Option(help="How many batches are answered at a time.", min=1, max=_MOST)
    ] = 4,
):
    """Write what TensorFlow Serving reads: versions and labels, batching, monitoring."""
    prepare_keras(backend="tensorflow")
    from pipelines.export.rollout import Batching, Rollout, write_rollout

    rollout = Rollout(name, stable, canary, tuple(keep or ()), mounted_at)
    batching = Batching(max_batch_size, batch_timeout, batch_threads)
    for path in write_rollout(rollout, batching, models, output):
        say(f"written: {path}")
