"""Finds, prepares and reads a dataset; `pipelines.datasets.load_dataset` is the way in."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import io
import json
import os
import pathlib
import shutil
import sys

from pipelines.errors import InputError


def load(name, entries, data_dir, cache_dir, download):
    """Loads a dataset; see `pipelines.datasets.load_dataset`."""
    dataset, config_name = _parse(name, entries)
    builder_class = _import_builder(entries[dataset].builder)
    full_name = f"{dataset}/{config_name}" if config_name else dataset
    sources = builder_class.sources(config_name)
    if sources is None:
        if data_dir is not None:
            raise InputError(f"{full_name} reads no files; leave out --data-dir.")
        identity = []
    elif data_dir is not None:
        identity = sources.locate(data_dir).identity()
    elif sources.url is None:
        raise InputError(f"{full_name} cannot be downloaded: {sources.advice}.")
    else:
        identity = [sources.url]

    cache = _cache_root(cache_dir)
    key = _fingerprint(builder_class, config_name, identity)
    folder = cache / f"{full_name.replace('/', '-')}-{key}"
    make = _BuilderFactory(builder_class, folder, config_name, data_dir)
    if not make.is_prepared():
        if identity and data_dir is None and not download:
            raise InputError(f"{full_name} is not in {cache} yet: {sources.advice}.")
        _prepare(make, cache, full_name, sources)

    from pipelines.datasets.prepared_records import read_prepared

    return read_prepared(make(), full_name)


@dataclasses.dataclass(frozen=True)
class _BuilderFactory:
    """Makes builders of one prepared folder; a new one sees what is on disk by then."""

    builder_class: type
    folder: pathlib.Path
    config_name: str | None
    source: os.PathLike | str | None

    def __call__(self):
        from google.protobuf import json_format

        try:
            return self.builder_class(
                data_dir=self.folder, config=self.config_name, source=self.source
            )
        except (ValueError, OSError, json_format.Error) as error:  # it reads what is on disk
            raise InputError(
                f"the prepared records in {self.folder} are damaged; delete that folder."
            ) from error

    def is_prepared(self) -> bool:
        # TFDS fills a folder of another name and renames it when all is done.
        return self().data_path.exists()


def _parse(name, entries):
    dataset, _, config = name.partition("/")
    if dataset not in entries:
        raise InputError(f"unknown dataset {dataset!r}; there are {', '.join(entries)}.")
    entry = entries[dataset]
    config = config or entry.default_config
    if config and config not in entry.configs:
        known = ", ".join(f"{dataset}/{each}" for each in entry.configs) or f"only {dataset}"
        raise InputError(f"unknown dataset {name!r}; there is {known}.")
    return dataset, config


def _import_builder(path):
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _cache_root(cache_dir):
    given = cache_dir or os.environ.get("HMAR_CACHE") or "~/.cache/hmar"
    return pathlib.Path(given).expanduser().absolute()


def _fingerprint(builder_class, config_name, identity):
    """Differs whenever what would be prepared may differ."""
    config = builder_class.builder_configs.get(config_name)
    parts = [
        builder_class.name,
        str(builder_class.VERSION),
        dataclasses.asdict(config) if config else None,
        identity,
    ]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prepare(make, cache, full_name, sources):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    try:
        make.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache directory {cache} cannot be written ({error.strerror}); choose another "
            f"with HMAR_CACHE."
        ) from error
    builder = make()
    try:
        with _quiet(tfds):
            builder.download_and_prepare(
                download_dir=cache / "downloads",
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
    except Exception as error:
        if make.is_prepared():  # another process was faster
            return
        if isinstance(error, InputError):
            raise
        if isinstance(error, NonMatchingChecksumError):
            raise InputError(
                f"{sources.url} is not the file whose checksum is recorded; {sources.advice}."
            ) from error
        if make.source is None and sources and _is_network_error(error):
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{sources.url} cannot be downloaded ({reason}); {sources.advice}."
            ) from error
        if isinstance(error, OSError):
            raise InputError(
                f"{full_name} cannot be prepared in {make.folder} ({error.strerror or error}); "
                f"free the disk or choose another cache directory."
            ) from error
        raise
    for left_over in builder.data_path.parent.glob("incomplete.*"):  # of killed runs
        shutil.rmtree(left_over, ignore_errors=True)


def _is_network_error(error):
    import requests
    import tensorflow_datasets as tfds

    return isinstance(error, requests.RequestException | tfds.download.DownloadError)


@contextlib.contextmanager
def _quiet(tfds):
    """Progress bars only on a terminal, and nothing of TFDS on standard output."""
    if sys.stderr.isatty():
        output = sys.stderr
    else:
        output = io.StringIO()
        tfds.disable_progress_bar()
    with contextlib.redirect_stdout(output):
        yield
