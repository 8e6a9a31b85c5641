"""The forms in which logs are released, raw or with papers, as a builder describes them."""

from __future__ import annotations

import dataclasses
import os

from hmar_keras.schema import Behaviors
from pipelines.datasets.authors_text import read_text_log
from pipelines.datasets.csr_pickle import read_csr_log
from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.event_log.reading import read_event_log
from pipelines.datasets.event_log.workspace import Workspace
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.raw_files import RawFiles, SourceFiles
from pipelines.runtime.errors import InputError

# The repository of the text form of the paper's four datasets.
_AUTHORS_HOMEPAGE = "https://github.com/Shereen-Elsayed/MBSRec"


@dataclasses.dataclass(frozen=True)
class CsrForm:
    """One pickled matrix per behaviour, `trn_NAME`, and the list of test items `tst_int`.

    Args:
        behaviors: the behaviours, weak to strong.
        homepage: the repository.
        folder: the folder of the files in it.
        packed: files that it has as rar archives.
        expected: known counts, as in `LogBuilder.expected_counts`.
    """

    behaviors: Behaviors
    homepage: str
    folder: str
    packed: tuple[str, ...] = ()
    expected: dict[str, int] = dataclasses.field(default_factory=dict)

    description = "one sparse matrix a behaviour, with times"

    @property
    def sources(self) -> SourceFiles:
        """The loose files."""
        members = (*self._matrices, "tst_int")
        return SourceFiles(None, members, self.folder, self.homepage, packed=self.packed)

    def read(self, name: str, repeats: bool, files: RawFiles) -> InteractionDataset:
        """Reads the log; see `read_csr_log`."""
        return read_csr_log(name, self.behaviors, repeats, files, self._matrices, "tst_int")

    @property
    def _matrices(self):
        return tuple(f"trn_{behavior}" for behavior in self.behaviors.names)


@dataclasses.dataclass(frozen=True)
class TextForm:
    """One event per line, `STEM.txt`, and the list of test items `STEM_tst_int`.

    Args:
        behaviors: the behaviours, weak to strong.
        stem: the beginning of both file names.
        expected: known counts, as in `LogBuilder.expected_counts`.
        homepage: the repository.
    """

    behaviors: Behaviors
    stem: str
    expected: dict[str, int] = dataclasses.field(default_factory=dict)
    homepage: str = _AUTHORS_HOMEPAGE

    description = "one event a line, in order but without times"

    @property
    def sources(self) -> SourceFiles:
        """The loose files."""
        return SourceFiles(None, self._files, "", self.homepage)

    def read(self, name: str, repeats: bool, files: RawFiles) -> InteractionDataset:
        """Reads the log; see `read_text_log`."""
        return read_text_log(name, self.behaviors, repeats, files, *self._files)

    @property
    def _files(self):
        return f"{self.stem}.txt", f"{self.stem}_tst_int"


@dataclasses.dataclass(frozen=True)
class EventForm:
    """The log itself in one file, with one event per row or a list of events per line.

    Args:
        sources: where to get the file, and its possible names.
        spec: what its columns mean and which events to keep; its `files` are replaced by the
            located file.
        expected: known counts, as in `LogBuilder.expected_counts`.
    """

    sources: SourceFiles | AnyOf
    spec: LogSpec
    expected: dict[str, int] = dataclasses.field(default_factory=dict)

    description = "every event of the log, with times"

    def read(self, name: str, files: RawFiles, workspace: Workspace) -> OrderedLog:
        """Reads the log; see `read_event_log`."""
        (member,) = files.entries
        path = files.path(member, workspace.directory).resolve()
        try:
            spec = dataclasses.replace(self.spec, files=(str(path),))
            return read_event_log(name, spec, workspace)
        except InputError as error:
            # The unpacked copy is gone by the time the user reads this.
            message = str(error).replace(str(path), files.label(member))
            raise InputError(message) from error


@dataclasses.dataclass(frozen=True)
class AnyOf:
    """One file that several places distribute, each under its own name.

    Args:
        places: the sources, the recommended one first.
    """

    places: tuple[SourceFiles, ...]

    url = None

    @property
    def title(self) -> str:
        """The name of the distribution in messages."""
        return " or ".join(place.title for place in self.places)

    @property
    def advice(self) -> str:
        """What a user without the data should do."""
        return ", or ".join(place.advice for place in self.places)

    def locate(self, path: os.PathLike | str) -> RawFiles:
        """Finds the file under the first of its names that exists; see `SourceFiles.locate`.

        Raises:
            InputError: if it exists under none of them.
        """
        refusals = []
        for place in self.places:
            try:
                return place.locate(path)
            except InputError as error:
                refusals.append(str(error))
        raise InputError(" ".join(refusals))
