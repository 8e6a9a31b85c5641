"""The forms in which logs are released, beside papers and raw: what a builder says of each."""

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

# Where the text form of the paper's four datasets belongs.
_AUTHORS_HOMEPAGE = "https://github.com/Shereen-Elsayed/MBSRec"


@dataclasses.dataclass(frozen=True)
class CsrForm:
    """One pickled matrix a behaviour, `trn_NAME`, and the list of test items `tst_int`.

    Args:
        behaviors: the behaviours, weak to strong.
        homepage: the repository.
        folder: where the files lie in it.
        packed: files that it has as rar archives.
        expected: known counts, as `LogBuilder.expected_counts` gives them.
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
    """One event a line, `STEM.txt`, and the list of test items `STEM_tst_int`.

    Args:
        behaviors: the behaviours, weak to strong.
        stem: what the names of the two files begin with.
        expected: known counts, as `LogBuilder.expected_counts` gives them.
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
    """The log itself in one file, an event a row or a list of events a line.

    Args:
        sources: where the file is to be had, and what it may be called.
        spec: what its columns mean and what is kept; the file that was found takes the place of
            its `files`.
        expected: known counts, as `LogBuilder.expected_counts` gives them.
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
            # What was unpacked is gone by the time that this is read.
            message = str(error).replace(str(path), files.label(member))
            raise InputError(message) from error


@dataclasses.dataclass(frozen=True)
class AnyOf:
    """One file that several places distribute, each under a name of its own.

    Args:
        places: the place to send a user to first.
    """

    places: tuple[SourceFiles, ...]

    url = None

    @property
    def title(self) -> str:
        """How a message calls what is distributed."""
        return " or ".join(place.title for place in self.places)

    @property
    def advice(self) -> str:
        """What a user should do who has no data yet."""
        return ", or ".join(place.advice for place in self.places)

    def locate(self, path: os.PathLike | str) -> RawFiles:
        """Finds the file under the first of its names that is there; see `SourceFiles.locate`.

        Raises:
            InputError: if it is there under none.
        """
        refusals = []
        for place in self.places:
            try:
                return place.locate(path)
            except InputError as error:
                refusals.append(str(error))
        raise InputError(" ".join(refusals))
