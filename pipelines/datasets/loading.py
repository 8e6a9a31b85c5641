"""Finds, prepares and reads a dataset; `load_dataset` and `load_log` are the way in."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import io
import json
import pathlib
import shutil
import sys

from pipelines.cache_directory import cache_directory
from pipelines.datasets.event_log.beam_settings import input_error_of
from pipelines.datasets.event_log.workspace import remove_left_over
from pipelines.errors import InputError
from pipelines.locks import locked_directory


def load(name, entries, data_dir, cache_dir, download, beam):
    """Loads a dataset by name; see `pipelines.datasets.load_dataset`."""
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

    config = builder_class.builder_configs.get(config_name)
    options = dataclasses.asdict(config) if config else None
    make = _BuilderFactory(
        builder_class,
        cache_directory(cache_dir),
        full_name,
        _fingerprint(builder_class, options, identity),
        {"config": config_name, "source": data_dir},
    )
    downloads = identity and data_dir is None
    if downloads and not download and not make.is_prepared():
        raise InputError(f"{full_name} is not in {make.cache} yet: {sources.advice}.")
    return _prepare_and_read(make, sources if downloads else None, beam)


def load_log(spec, cache_dir, beam):
    """Loads a user's own log; see `pipelines.datasets.load_log`."""
    from pipelines.datasets.event_log.files import dataset_name, find_files, fingerprint
    from pipelines.datasets.own_log.own_log_dataset_builder import OwnLog

    paths = find_files(spec.files)
    options = {**spec.to_dict(), "files": None}  # where they lie makes no difference
    make = _BuilderFactory(
        OwnLog,
        cache_directory(cache_dir),
        dataset_name(spec.files),
        _fingerprint(OwnLog, options, fingerprint(paths)),
        {"spec": spec},
    )
    return _prepare_and_read(make, None, beam)


def _prepare_and_read(make, downloaded, beam):
    if not make.is_prepared():
        _prepare(make, downloaded, beam)

    from pipelines.datasets.prepared_records import read_prepared

    return read_prepared(make(), make.full_name)


@dataclasses.dataclass(frozen=True)
class _BuilderFactory:
    """Makes builders of one prepared folder; a new one sees what is on disk by then.

    Args:
        builder_class: the TFDS builder.
        cache: directory of all prepared folders.
        full_name: of the dataset, with its configuration.
        key: differs whenever what would be prepared may differ.
        arguments: of the builder.
    """

    builder_class: type
    cache: pathlib.Path
    full_name: str
    key: str
    arguments: dict

    @property
    def folder(self) -> pathlib.Path:
        return self.cache / f"{self.full_name.replace('/', '-')}-{self.key}"

    def __call__(self):
        from google.protobuf import json_format

        try:
            return self.builder_class(data_dir=self.folder, **self.arguments)
        except InputError:
            raise
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


def _fingerprint(builder_class, options, identity):
    """Differs whenever what would be prepared may differ."""
    parts = [builder_class.name, str(builder_class.VERSION), options, identity]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prepare(make, downloaded, beam):
    """Prepares the records; `downloaded` are the sources if they come from the network."""
    import tensorflow_datasets as tfds

    on_beam = beam.download_config() if beam else {}
    try:
        make.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache directory {make.cache} cannot be written ({error.strerror}); choose "
            f"another with HMAR_CACHE."
        ) from error
    builder = make()
    try:
        # One process prepares a folder at a time, so whatever lies there now is left over.
        with locked_directory(make.folder), _quiet(tfds):
            _remove_left_over(builder.data_path.parent)
            if make.is_prepared():  # another process was faster
                return
            builder.download_and_prepare(
                download_dir=make.cache / "downloads",
                download_config=tfds.download.DownloadConfig(try_download_gcs=False, **on_beam),
            )
    except Exception as error:
        if make.is_prepared():  # another process was faster
            return
        mended = _as_input_error(error, make, downloaded, beam)
        if mended is error:
            raise
        raise mended from error


def _remove_left_over(directory):
    """Removes what killed preparations left."""
    for left_over in directory.glob("incomplete.*"):
        shutil.rmtree(left_over, ignore_errors=True)
    remove_left_over(directory)


def _as_input_error(error, make, downloaded, beam):
    """What the user can mend, in a sentence; any other error as it is."""
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    if isinstance(error, InputError):
        return error
    if beam and (of_worker := input_error_of(error)):
        return of_worker
    if downloaded and isinstance(error, NonMatchingChecksumError):
        return InputError(
            f"{downloaded.url} is not the file whose checksum is recorded; {downloaded.advice}."
        )
    if downloaded and _is_network_error(error):
        reason = str(error).splitlines()[0]
        return InputError(f"{downloaded.url} cannot be downloaded ({reason}); {downloaded.advice}.")
    if isinstance(error, OSError):
        return InputError(
            f"{make.full_name} cannot be prepared in {make.folder} ({error.strerror or error}); "
            f"free the disk or choose another cache directory."
        )
    return error


def _is_network_error(error):
    import requests
    import tensorflow_datasets as tfds

    return isinstance(error, requests.RequestException | tfds.download.DownloadError)


@contextlib.contextmanager
def _quiet(tfds):
    """Progress bars only on a terminal, and nothing of TFDS on standard output."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
