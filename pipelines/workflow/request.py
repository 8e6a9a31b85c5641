"""What the user asks a training, an experiment or a search to be."""

from __future__ import annotations

import dataclasses

from pipelines.datasets.event_log.spec import LogSpec
from pipelines.runtime.hardware import Hardware


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asks a training to be; None means the default.

    Args:
        dataset: its name, or None if there is a `log` or something is continued.
        data_dir: where its raw files are.
        preset: name of one of the paper's settings.
        config_file: JSON file of settings.
        assignments: `field=value`.
        epochs: at most this many.
        seed: of everything random.
        model: a name out of `settings.MODEL_SETTINGS`, or None for what the other settings say.
        log: the user's own log.
        hardware: what to train on.
    """

    dataset: str | None
    data_dir: str | None = None
    preset: str | None = None
    config_file: str | None = None
    assignments: tuple[str, ...] = ()
    epochs: int | None = None
    seed: int = 0
    model: str | None = None
    log: LogSpec | None = None
    hardware: Hardware = dataclasses.field(default_factory=Hardware)
