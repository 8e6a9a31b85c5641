"""Prepares a whole log on Apache Beam, on as many machines as its runner has.

The records and the report are the same as those of `read_event_log` without Beam; only the cuts
between shards may differ. Four kinds of pipelines run in sequence:

1. Each file of the log is read and checked by one worker. Nothing is grouped before all rows are
   known to be valid.
2. The rows are grouped by user, in pieces of about a million events, each of which holds all users
   between two bounds in shortlex order. A worker drops the duplicates of a piece and orders its
   events. The events on each item are counted.
3. With `min_item_count` or `min_user_events`, repeated until nothing is dropped: rare items and
   short users are dropped piece by piece, and the remaining items are counted again.
4. TFDS writes the shards, each with the users of consecutive pieces.

`beam_settings` says what a runner needs.
"""

from __future__ import annotations

import collections
import dataclasses
import shutil
from collections.abc import Callable

from pipelines.datasets.event_log import beam_tasks as tasks
from pipelines.datasets.event_log import cleaning
from pipelines.datasets.event_log import files as log_files
from pipelines.datasets.event_log.beam_files import (
    file_summary,
    items_in,
    numbered,
    piece_summaries,
    write_rows,
)
from pipelines.datasets.event_log.checked_rows import check_same_form
from pipelines.datasets.event_log.ordered_log import CleanedLog
from pipelines.datasets.event_log.report import Dropped, PreparationReport
from pipelines.datasets.event_log.spec import LogSpec
from pipelines.datasets.event_log.sql import shortlex
from pipelines.datasets.event_log.workspace import Workspace
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError

_EVENTS_PER_SHARD = 1 << 20  # TFDS holds a shard in memory while writing it
_SAMPLES_PER_SHARD = 256  # sampled users that determine the bounds of the pieces
_MOST_ITEM_PARTS = 64


class BeamLog(CleanedLog):
    """The result of `read_with_beam`: like an `OrderedLog`, but any worker can read its shards.

    Args:
        name: name of the dataset.
        behaviors: weak to strong, with the target.
        report: what was read, dropped and kept.
        items: str [items], in shortlex order.
        folder: folder of the users, piece by piece.
        pieces: summaries of the pieces in it.
        vocabulary: file of the items and their ids.
    """

    def __init__(self, name, behaviors, report, items, folder, pieces, vocabulary):
        super().__init__(name, behaviors, report, items)
        self._folder = folder
        self._pieces = pieces
        self._vocabulary = vocabulary

    def shards(self) -> list[Callable[[], InteractionDataset]]:
        """Returns functions that each read the next users in order, about a million events each."""
        shards, room = [], 0
        for piece in self._pieces:
            if not piece.events:
                continue
            if piece.events > room:
                shards.append([])
                room = _EVENTS_PER_SHARD
            shards[-1].append(str(numbered(self._folder, piece.number)))
            room -= piece.events
        return [
            tasks.BeamShard(
                self.name, self.behaviors, self.repeats, tuple(files), str(self._vocabulary)
            )
            for files in shards
        ]


def read_with_beam(name: str, spec: LogSpec, workspace: Workspace) -> BeamLog:
    """Reads, checks, cleans and orders a log on the Beam runner of a workspace.

    Args:
        name: the name to give to the dataset.
        spec: what to read and what to keep.
        workspace: where to work, on a file system that all workers share; the result is valid as
            long as it exists.

    Raises:
        InputError: as in `read_event_log`.
    """
    return _Preparation(name, spec, workspace).run()


class _Preparation:
    def __init__(self, name, spec, workspace):
        self._name = name
        self._spec = spec
        self._workspace = workspace
        self._paths = log_files.find_files(spec.files)
        self._steps = 0
        self._dropped = collections.Counter()

    def run(self):
        spec = self._spec
        rows, files = self._read_files()
        bad_rows = _bad_rows(files)
        read = sum(file.sound for file in files) + sum(each.events for each in bad_rows)
        counts = collections.Counter()
        for file in files:
            counts.update(file.behaviors)
        behaviors, inferred = cleaning.choose_behaviors(self._name, spec, counts)
        cleaning.check_not_empty(self._name, sum(file.sound for file in files), read)
        users, items = self._clean(rows, files, behaviors)
        while cleaning.drops_rare(spec):
            users, items, dropped = self._drop_rare(users, items, behaviors)
            # If no user was dropped, every item has as many events as before.
            if not dropped["user"] or spec.min_item_count == 1:
                break
        pieces = piece_summaries(users)
        cleaning.check_not_empty(self._name, sum(piece.events for piece in pieces), read)
        vocabulary, names = self._number_items(items)
        report = PreparationReport(
            files=len(files),
            read=read,
            dropped=(*bad_rows, *self._rules()),
            events=sum(piece.events for piece in pieces),
            users=sum(piece.users for piece in pieces),
            items=len(names),
            behaviors={
                each: sum(piece.behaviors[each] for piece in pieces) for each in behaviors.names
            },
            target=behaviors.target,
            inferred_order=inferred,
            repeats=self._repeats(pieces),
        )
        return BeamLog(self._name, behaviors, report, names, users, pieces, vocabulary)

    def _read_files(self):
        """Returns the folder of the checked rows, and the summary of each file."""
        import apache_beam as beam

        folder = self._new_folder("rows")
        with self._pipeline("reading and checking the files") as pipeline:
            _ = (
                pipeline
                | "files" >> beam.Create(range(len(self._paths)))
                | "spread the files" >> beam.Reshuffle()
                | "read"
                >> beam.Map(
                    tasks.read_file,
                    spec=self._spec,
                    paths=self._paths,
                    folder=folder,
                    step=_sample_step(),
                )
            )
        files = [file_summary(folder, number) for number in range(len(self._paths))]
        form = None
        for path, file in zip(self._paths, files, strict=True):
            if file.form:
                check_same_form(path, file.form, form)
                form = file.form
            if file.error:
                raise InputError(file.error)
        return folder, files

    def _clean(self, rows, files, behaviors):
        """Returns the folders of the ordered users and of the items that are kept."""
        import apache_beam as beam

        bounds = _bounds(files)
        parts = [(number, part) for number, file in enumerate(files) for part in range(file.groups)]
        self._item_parts = min(1 + len(bounds) // 4, _MOST_ITEM_PARTS)
        users, items = self._new_folder("users"), self._new_folder("items")
        with self._pipeline("ordering events") as pipeline:
            counts = (
                pipeline
                | "parts of files" >> beam.Create(parts)
                | "spread the parts" >> beam.Reshuffle()
                | "cut" >> beam.FlatMap(tasks.cut_rows, folder=rows, bounds=bounds)
                | "group the users" >> beam.GroupByKey()
                | "clean"
                >> beam.FlatMap(
                    tasks.clean_users,
                    spec=self._spec,
                    behaviors=behaviors,
                    folder=users,
                    item_parts=self._item_parts,
                )
            )
            self._keep_items(counts, items)
        self._count_dropped(users)
        shutil.rmtree(rows)
        return users, items

    def _drop_rare(self, before, kept, behaviors):
        """Runs one round; returns the new folders, and the number of dropped events by reason."""
        import apache_beam as beam

        numbers = [piece.number for piece in piece_summaries(before) if piece.events]
        users, items = self._new_folder("users"), self._new_folder("items")
        with self._pipeline("counting items and users") as pipeline:
            counts = (
                pipeline
                | "pieces" >> beam.Create(numbers)
                | "spread the pieces" >> beam.Reshuffle()
                | "drop"
                >> beam.FlatMap(
                    tasks.drop_rare,
                    spec=self._spec,
                    behaviors=behaviors,
                    before=before,
                    items=kept,
                    folder=users,
                    item_parts=self._item_parts,
                )
            )
            self._keep_items(counts, items)
        for old in (before, kept):
            shutil.rmtree(old)
        return users, items, self._count_dropped(users)

    def _keep_items(self, counts, folder):
        import apache_beam as beam

        _ = (
            counts
            | "group the items" >> beam.GroupByKey()
            | "keep items"
            >> beam.Map(tasks.keep_items, folder=folder, least=self._spec.min_item_count)
        )

    def _count_dropped(self, users):
        dropped = collections.Counter()
        for piece in piece_summaries(users):
            dropped.update(piece.dropped)
        self._dropped.update(dropped)
        return dropped

    def _number_items(self, items):
        """Writes the vocabulary; returns its file and the names in it."""
        database = self._workspace.database()
        database.execute(
            f"CREATE TABLE vocabulary AS SELECT item, (row_number() OVER (ORDER BY "
            f"{shortlex('item')}))::INTEGER AS id FROM {items_in(items)}"
        )
        path = self._workspace.directory / "vocabulary.parquet"
        write_rows(database, "SELECT item, id FROM vocabulary ORDER BY id", path)
        found = database.execute("SELECT item FROM vocabulary ORDER BY id").fetchnumpy()
        return path, found["item"].astype(str)

    def _rules(self):
        """Returns what the rules dropped, in the order in which they apply."""
        spec = self._spec
        rules = []
        if cleaning.drops_duplicates(spec):
            rules.append(Dropped(cleaning.DUPLICATE, self._dropped[cleaning.DUPLICATE]))
        return rules + cleaning.rare_events(spec, self._dropped["item"], self._dropped["user"])

    def _repeats(self, pieces):
        if self._spec.repeats is not None:
            return self._spec.repeats
        repeated = sum(piece.repeated for piece in pieces)
        return cleaning.may_repeat(repeated, sum(piece.targets for piece in pieces))

    def _pipeline(self, what):
        self._workspace.progress(what)
        return self._workspace.beam.pipeline()

    def _new_folder(self, what):
        self._steps += 1
        folder = self._workspace.directory / f"{what}-{self._steps}"
        folder.mkdir()
        return folder


def _sample_step():
    return max(1, _EVENTS_PER_SHARD // _SAMPLES_PER_SHARD)


def _bounds(files):
    """Returns the first user of each piece; a piece has about as many events as a shard."""
    sample = sorted(
        (user for file in files for user in file.sample), key=lambda user: (len(user), user)
    )
    every = _EVENTS_PER_SHARD // _sample_step()
    return ["", *dict.fromkeys(sample[every::every])]


def _bad_rows(files):
    """Returns the rows skipped in all files, in the form that `CheckedRows` reports."""
    reasons = {}
    for problem in (each for file in files for each in file.problems):
        first = reasons.get(problem.reason, dataclasses.replace(problem, events=0))
        reasons[problem.reason] = dataclasses.replace(first, events=first.events + problem.events)
    return [each for file in files for each in file.malformed] + list(reasons.values())
