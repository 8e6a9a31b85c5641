"""Configuration files of TensorFlow Serving: which versions it serves, and under which labels.

    models.config        the versions, `stable` and `canary`
    batching.config      how requests are batched
    monitoring.config    where Prometheus finds the metrics

All are text protos. `deploy/README.md` explains them and how to roll out a version with them.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from google.protobuf import text_encoding, text_format
from tensorflow_serving.config import model_server_config_pb2

from pipelines.runtime.errors import InputError
from pipelines.runtime.model_name import check_model_name
from pipelines.runtime.model_versions import versions
from pipelines.storage.artefacts import written_at_once

MODELS, BATCHING, MONITORING = "models.config", "batching.config", "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"
_QUEUED_BATCHES_PER_THREAD = 16


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Which versions of a model are served.

    Args:
        name: name of the model.
        stable: the version labelled `stable`; None to serve the latest one, without labels.
        canary: the version labelled `canary`, or None.
        keep: versions that are loaded without a label, ready to be labelled.
        mounted_at: where the server sees the directory of all models.
    """

    name: str
    stable: int | None = None
    canary: int | None = None
    keep: tuple[int, ...] = ()
    mounted_at: str = "/models"

    @property
    def labels(self) -> dict[str, int]:
        """Versions by label."""
        both = {"stable": self.stable, "canary": self.canary}
        return {label: version for label, version in both.items() if version is not None}

    @property
    def loaded(self) -> list[int]:
        """All versions that the server loads; empty for the latest one."""
        return sorted({*self.labels.values(), *self.keep})


@dataclasses.dataclass(frozen=True)
class Batching:
    """How TensorFlow Serving batches requests.

    Args:
        max_size: maximum number of histories per batch, a power of two.
        timeout: microseconds that a request waits for others.
        threads: number of batches to process in parallel.
    """

    max_size: int = 64
    timeout: int = 2000
    threads: int = 4


def write_rollout(
    rollout: Rollout, batching: Batching, models: str | os.PathLike, output: str | os.PathLike
) -> list[Path]:
    """Writes the three files, `models.config` last, because the server polls that one.

    Args:
        rollout: what to serve.
        batching: how to batch requests.
        models: the directory of all models.
        output: the directory of the files.

    Returns:
        the paths of the files.

    Raises:
        InputError: if the name is not a valid model name, a version does not exist, a setting is
            invalid, a label cannot be moved in one step, or the files cannot be written.
    """
    _check_versions(rollout, Path(models) / check_model_name(rollout.name))
    _check_batching(batching)
    output = Path(output)
    texts = {
        BATCHING: batching_config(batching),
        MONITORING: monitoring_config(),
        MODELS: models_config(rollout),
    }
    try:
        output.mkdir(parents=True, exist_ok=True)
        if (output / MODELS).exists():
            _check_step(rollout, output / MODELS)
        for name, text in texts.items():
            with written_at_once(output / name) as temporary:
                temporary.write_text(text)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written ({error.strerror}); choose another --output."
        ) from error
    return [output / name for name in texts]


def models_config(rollout: Rollout) -> str:
    """Returns a `ModelServerConfig` as text."""
    chosen = "".join(f"        versions: {version}\n" for version in rollout.loaded)
    policy = f"      specific {{\n{chosen}      }}\n" if chosen else _LATEST
    labels = "".join(
        f'    version_labels {{\n      key: "{label}"\n      value: {version}\n    }}\n'
        for label, version in rollout.labels.items()
    )
    return _MODELS.format(
        name=_quoted(rollout.name),
        base_path=_quoted(f"{rollout.mounted_at.rstrip('/')}/{rollout.name}"),
        policy=policy,
        labels=labels,
    )


def stable_version(directory: str | os.PathLike, name: str) -> int | None:
    """Returns the version labelled `stable` in the files of a roll-out.

    Args:
        directory: the output of `write_rollout`.
        name: name of the model.

    Returns:
        the version; None if the model is served without that label.

    Raises:
        InputError: if there is no `models.config`, or it does not serve the model.
    """
    path = Path(directory) / MODELS
    for model in _read_models(path, "give the --output of hmar rollout"):
        if model.name == name:
            return model.version_labels.get("stable")
    raise InputError(
        f"{path} does not serve the model {name}; give its name as --name, or another --rollout."
    )


def batching_config(batching: Batching) -> str:
    """Returns `BatchingParameters` as text, with powers of two as batch sizes."""
    sizes = [1 << power for power in range(batching.max_size.bit_length())]
    lines = [
        f"max_batch_size {{ value: {batching.max_size} }}",
        f"batch_timeout_micros {{ value: {batching.timeout} }}",
        f"num_batch_threads {{ value: {batching.threads} }}",
        f"max_enqueued_batches {{ value: {batching.threads * _QUEUED_BATCHES_PER_THREAD} }}",
        *(f"allowed_batch_sizes: {size}" for size in sizes),
        '# Short histories are padded with the first string of a request, so it has to be "".',
        "pad_variable_length_inputs: true",
    ]
    return "\n".join(lines) + "\n"


def monitoring_config() -> str:
    """Returns a `MonitoringConfig` as text."""
    return f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n'


_LATEST = "      latest {\n        num_versions: 1\n      }\n"
_MODELS = """\
model_config_list {{
  config {{
    name: {name}
    base_path: {base_path}
    model_platform: "tensorflow"
    model_version_policy {{
{policy}    }}
{labels}  }}
}}
"""


def _quoted(text):
    return f'"{text_encoding.CEscape(text, as_utf8=True)}"'


def _check_versions(rollout, directory):
    there = versions(directory)
    if not there:
        raise InputError(
            f"{directory} holds no exported model; give the directory of all models as --models "
            "and one of its directories as --name, or create one with hmar export."
        )
    for version in rollout.loaded:
        if version not in there:
            raise InputError(
                f"{directory} has no version {version}; it has "
                f"{', '.join(str(number) for number in there)}."
            )
    if rollout.loaded and rollout.stable is None:
        raise InputError("--canary and --keep need a --stable version; give it as well.")


def _check_batching(batching):
    if batching.max_size.bit_count() != 1:
        raise InputError(f"--max-batch-size is {batching.max_size}; give a power of two.")


def _check_step(rollout, path):
    """Checks what a server would refuse: to move a label in use to a version not loaded yet."""
    models = _read_models(path, "choose another --output, or remove that file")
    if [model.name for model in models] != [rollout.name]:
        raise InputError(
            f"{path} does not serve the model {rollout.name} alone, and replacing it would unload "
            "the others; choose another --output, or remove that file."
        )
    loaded = set(models[0].model_version_policy.specific.versions)
    for label in sorted(models[0].version_labels):
        version = rollout.labels.get(label)
        if version is not None and version not in loaded:
            raise InputError(
                f"{path} makes the server load {_listed(loaded)}, and the label {label} can only "
                f"move to a loaded version; load {version} with --keep first, then move the label."
            )


def _read_models(path, advice):
    """Returns the models that a file makes the server serve."""
    try:
        text = path.read_text()
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}); {advice}.") from error
    return config.model_config_list.config


def _listed(numbers):
    return ", ".join(str(number) for number in sorted(numbers))
