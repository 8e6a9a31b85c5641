"""What the user requests of a training, an experiment or a search."""

from __future__ import annotations

import dataclasses

from pipelines.datasets.event_log.spec import LogSpec
from pipelines.runtime.hardware import Hardware


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user requests of a training; None means the default.

    Args:
        dataset: name of the dataset, or None if there is a `log` or something is continued.
        data_dir: directory of its raw files.
        preset: name of a preset.
        config_file: JSON file of settings.
        assignments: settings of the form `field=value`.
        epochs: maximum number of epochs.
        seed: seed of everything random.
        model: a name in `settings.MODEL_SETTINGS` or of a custom model, or None for what the other
            settings say.
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
