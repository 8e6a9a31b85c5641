"""Finds, prepares and reads a dataset; the entry points are `load_dataset` and `load_log`."""

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

from pipelines.datasets.event_log.beam_settings import input_error_of
from pipelines.datasets.event_log.workspace import remove_left_over
from pipelines.runtime.cache_directory import cache_directory
from pipelines.runtime.errors import InputError
from pipelines.runtime.terminal import say_if_heard
from pipelines.storage.artefacts import written_at_once
from pipelines.storage.locks import locked_directory

_CHECKSUM = "content.sha256"


def full_name(name, entries):
    """Returns the name of a dataset with its configuration, `"movielens/1m"`.

    Raises:
        InputError: if the dataset is unknown.
    """
    dataset, config = _parse(name, entries)
    return f"{dataset}/{config}" if config else dataset


def load(name, entries, data_dir, cache_dir, download, beam):
    """Loads a dataset by name; see `pipelines.datasets.load_dataset`."""
    dataset, config_name = _parse(name, entries)
    builder_class = _import_builder(entries[dataset].builder)
    called = full_name(name, entries)
    sources = builder_class.sources(config_name)
    if sources is None:
        if data_dir is not None:
            raise InputError(f"{called} reads no files; leave out --data-dir.")
        identity = []
    elif data_dir is not None:
        identity = sources.locate(data_dir).identity()
    elif sources.url is None:
        raise InputError(f"{called} cannot be downloaded: {sources.advice}.")
    else:
        identity = [sources.url]

    config = builder_class.builder_configs.get(config_name)
    options = dataclasses.asdict(config) if config else None
    make = _BuilderFactory(
        builder_class,
        cache_directory(cache_dir),
        called,
        _folder_name(called, builder_class, options, identity),
        {"config": config_name, "source": data_dir},
    )
    downloads = identity and data_dir is None
    if downloads and not download and not make.is_prepared():
        raise InputError(f"{called} is not in {make.cache} yet: {sources.advice}.")
    return _prepare_and_read(make, sources if downloads else None, beam)


def load_log(spec, cache_dir, beam):
    """Loads a user's own log; see `pipelines.datasets.load_log`."""
    from pipelines.datasets.event_log.files import dataset_name, find_files, fingerprint
    from pipelines.datasets.own_log.own_log_dataset_builder import OwnLog

    paths = find_files(spec.files)
    options = {**spec.to_dict(), "files": None}  # their location makes no difference
    called = dataset_name(spec.files)
    make = _BuilderFactory(
        OwnLog,
        cache_directory(cache_dir),
        called,
        _folder_name(called, OwnLog, options, fingerprint(paths)),
        {"spec": spec},
    )
    return _prepare_and_read(make, None, beam)


def load_prepared(name, prepared, spec, cache_dir, entries):
    """Reads a prepared copy by its folder; see `pipelines.datasets.load_prepared`."""
    if spec is None:
        dataset, config_name = _parse(name, entries)
        builder_class = _import_builder(entries[dataset].builder)
        arguments = {"config": config_name}
    else:
        from pipelines.datasets.own_log.own_log_dataset_builder import OwnLog

        builder_class, arguments = OwnLog, {"spec": spec}
    folder = pathlib.PurePath(prepared).name
    make = _BuilderFactory(builder_class, cache_directory(cache_dir), name, folder, arguments)
    return _read(make) if make.is_prepared() else None


def _prepare_and_read(make, downloaded, beam):
    if not make.is_prepared():
        _prepare(make, downloaded, beam)
    return _read(make)


def _read(make):
    from pipelines.datasets.prepared_records import read_prepared

    dataset = dataclasses.replace(read_prepared(make(), make.full_name), prepared=make.prepared)
    _check_content(make.folder, dataset)
    return dataset


def _check_content(folder, dataset):
    """Compares the dataset with the checksum of its first reading; TFDS's metadata has none.

    Damaged records are not silently prepared again: that may take hours, others may be reading
    the same cache, and a disk that damages files deserves attention.
    """
    report = dataset.report.to_dict() if dataset.report else None
    content = hashlib.sha256(json.dumps([dataset.fingerprint, report]).encode()).hexdigest()
    path = folder / _CHECKSUM
    if not path.exists():
        # A cache may be shared and read-only.
        with contextlib.suppress(InputError), written_at_once(path) as temporary:
            temporary.write_text(content)
    elif not path.is_file() or path.read_bytes() != content.encode():
        raise InputError(f"the prepared records in {folder} are damaged; delete that folder.")


@dataclasses.dataclass(frozen=True)
class _BuilderFactory:
    """Makes builders for one prepared folder; each new one sees what is on disk at that time.

    Args:
        builder_class: the TFDS builder.
        cache: directory of all prepared folders.
        full_name: name of the dataset, with its configuration.
        prepared: name of the folder, see `_folder_name`.
        arguments: keyword arguments of the builder.
    """

    builder_class: type
    cache: pathlib.Path
    full_name: str
    prepared: str
    arguments: dict

    @property
    def folder(self) -> pathlib.Path:
        return self.cache / self.prepared

    def __call__(self):
        try:
            return self.builder_class(data_dir=self.folder, **self.arguments)
        except InputError:
            raise
        except Exception as error:  # TFDS reads the files on disk and can raise almost anything
            raise InputError(
                f"the prepared records in {self.folder} are damaged; delete that folder."
            ) from error

    def is_prepared(self) -> bool:
        # TFDS fills a folder with another name and renames it when it is complete.
        return self().data_path.exists()


def _parse(name, entries):
    dataset, _, config = name.partition("/")
    if dataset not in entries:
        raise InputError(f"unknown dataset {dataset!r}; available: {', '.join(entries)}.")
    entry = entries[dataset]
    config = config or entry.default_config
    if config and config not in entry.configs:
        known = ", ".join(f"{dataset}/{each}" for each in entry.configs) or f"only {dataset}"
        raise InputError(f"unknown dataset {name!r}; available: {known}.")
    return dataset, config


def _import_builder(path):
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _folder_name(called, builder_class, options, identity):
    """Returns a folder name that differs whenever the prepared records may differ."""
    parts = [builder_class.name, str(builder_class.VERSION), options, identity]
    text = json.dumps(parts, sort_keys=True, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{called.replace('/', '-')}-{key}"


def _prepare(make, downloaded, beam):
    """Prepares the records; `downloaded` is the sources if they come from the network."""
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

    def waiting():
        say_if_heard(f"waiting for another process that is preparing {make.full_name}")

    try:
        # Only one process prepares a folder at a time, so whatever is in it is left over.
        with locked_directory(make.folder, waiting), _quiet(tfds):
            _remove_left_over(make.folder, builder.data_path.parent)
            if make.is_prepared():  # another process was faster
                return
            (make.folder / _CHECKSUM).unlink(missing_ok=True)  # belongs to deleted records
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


def _remove_left_over(folder, workspaces):
    """Removes what killed preparations left behind: TFDS's partial files and our workspaces."""
    for left_over in list(folder.rglob("incomplete.*")):
        if left_over.is_dir():
            shutil.rmtree(left_over, ignore_errors=True)
        else:
            left_over.unlink(missing_ok=True)
    remove_left_over(workspaces)


def _as_input_error(error, make, downloaded, beam):
    """Returns an `InputError` for what the user can fix; any other error unchanged."""
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    if isinstance(error, InputError):
        return error
    if beam and (of_worker := input_error_of(error)):
        return of_worker
    if downloaded and isinstance(error, NonMatchingChecksumError):
        return InputError(
            f"{downloaded.url} does not match its recorded checksum; {downloaded.advice}."
        )
    if downloaded and _is_network_error(error):
        reason = str(error).splitlines()[0]
        return InputError(f"{downloaded.url} cannot be downloaded ({reason}); {downloaded.advice}.")
    if isinstance(error, OSError):
        return InputError(
            f"{make.full_name} cannot be prepared in {make.folder} ({error.strerror or error}); "
            f"free disk space or choose another cache directory."
        )
    return error


def _is_network_error(error):
    import requests
    import tensorflow_datasets as tfds

    return isinstance(error, requests.RequestException | tfds.download.DownloadError)


@contextlib.contextmanager
def _quiet(tfds):
    """Shows progress bars only on a terminal, and keeps TFDS off standard output."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
