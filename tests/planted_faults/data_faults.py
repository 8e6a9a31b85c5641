"""Faults in how logs become datasets, and in the files that outlive a process."""

from .fault import Fault

_DATASETS, _LOGS = "pipelines/datasets", "pipelines/datasets/event_log"
_TESTS = "tests/pipelines"
_READING = f"{_TESTS}/datasets/event_log/test_reading.py"
_BY_HAND = f"{_READING}::test_a_log_by_hand"
_ANY_LOG = f"{_READING}::test_no_event_is_lost_or_invented"
_TIMES = (f"{_READING}::test_times", f"{_READING}::test_times_of_parquet")


def _log(name: str, file: str, old: str, new: str, *likely: str) -> Fault:
    return Fault(name, "event_log", f"{_LOGS}/{file}.py", old, new, likely or (_BY_HAND, _ANY_LOG))


def _dataset(name: str, file: str, old: str, new: str, *likely: str) -> Fault:
    likely = likely or (f"{_TESTS}/datasets/test_{file}.py",)
    return Fault(name, "datasets", f"{_DATASETS}/{file}.py", old, new, likely)


def _file(name: str, old: str, new: str, *likely: str) -> Fault:
    return Fault(name, "storage", "pipelines/storage/artefacts.py", old, new, likely)


DATA_FAULTS = (
    _log(
        "duplicates_always_dropped",
        "cleaning",
        "return bool(spec.time) and not spec.keep_duplicates",
        "return bool(spec.time)",
    ),
    _log(
        "last_of_duplicates_kept",
        "cleaning",
        '"min(place) AS place FROM events GROUP BY ALL"',
        '"max(place) AS place FROM events GROUP BY ALL"',
    ),
    _log(
        "ties_by_item",
        "cleaning",
        "'ORDER BY events.\"user\", time, fraction, place'",
        "'ORDER BY events.\"user\", time, fraction, events.item'",
    ),
    _log(
        "fractions_of_times_ignored",
        "cleaning",
        "'ORDER BY events.\"user\", time, fraction, place'",
        "'ORDER BY events.\"user\", time, place'",
        *_TIMES,
    ),
    _log(
        "short_users_need_one_more",
        "cleaning",
        "HAVING count(*) < {least})",
        "HAVING count(*) <= {least})",
    ),
    _log(
        "rare_items_dropped_once",
        "cleaning",
        "if not gone_items and not gone_users:",
        "if not gone_items or not gone_users:",
        f"{_READING}::test_rare_items_and_short_users_take_turns",
    ),
    _log(
        "bad_rows_not_counted",
        "cleaning",
        "read = sound + sum(each.events for each in bad_rows)",
        "read = sound",
        f"{_TESTS}/datasets/event_log/test_bad_rows.py"
        "::test_all_reasons_are_counted_with_their_first_place",
    ),
    _log(
        "rare_behaviors_first",
        "cleaning",
        "(each == spec.target, -counts[each], each)",
        "(each == spec.target, counts[each], each)",
        f"{_READING}::test_order_of_behaviors_from_their_frequency",
    ),
    _log(
        "first_purchases_are_repeats",
        "cleaning",
        "sum(targets - first_is_target)::BIGINT",
        "sum(targets - 1)::BIGINT",
        f"{_READING}::test_whether_items_repeat_is_seen_from_the_target_events",
    ),
    _log(
        "ids_in_the_order_of_characters",
        "sql",
        'return f"length({column}), {column}"',
        'return f"{column}"',
    ),
    _log(
        "times_before_1970_rounded_up",
        "sql",
        '(({ticks}) % {second} + {second}) % {second})"',
        '(({ticks}) % {second}))"',
        *_TIMES,
    ),
    _log(
        "dates_in_local_time",
        "workspace",
        "SET TimeZone = 'UTC'",
        "SET TimeZone = 'Europe/Berlin'",
        *_TIMES,
    ),
    _log(
        "inclusive_bound_of_a_rating",
        "problems",
        "{'<=' if level.inclusive else '<'}",
        "{'<' if level.inclusive else '<='}",
        f"{_READING}::test_ratings_become_behaviors",
    ),
    _dataset(
        "offsets_of_the_whole_log",
        "interaction_dataset",
        "self.offsets[first : end + 1] - self.offsets[first]",
        "self.offsets[first : end + 1]",
        f"{_TESTS}/datasets/test_interaction_log.py",
    ),
    _dataset(
        "behaviors_counted_one_off",
        "interaction_dataset",
        "minlength=len(self.behaviors) + 1)[1:]",
        "minlength=len(self.behaviors) + 1)[:-1]",
        f"{_TESTS}/datasets/test_csr_pickle.py",
    ),
    _dataset(
        "events_of_a_user_not_sorted",
        "interaction_log",
        "order = np.lexsort((order_time, user_rows))",
        'order = np.argsort(user_rows, kind="stable")',
    ),
    _dataset(
        "text_ids_in_the_order_of_characters",
        "interaction_log",
        "order = np.lexsort((names, np.char.str_len(names)))",
        "order = np.argsort(names)",
    ),
    _dataset(
        "csr_behaviors_before_times",
        "csr_pickle",
        "np.lexsort((columns, behavior_ids, times, rows))",
        "np.lexsort((columns, times, behavior_ids, rows))",
    ),
    _dataset(
        "csr_items_from_zero",
        "csr_pickle",
        "item_ids=columns[order] + 1",
        "item_ids=columns[order]",
    ),
    _dataset(
        "pickled_columns_read_as_rows",
        "numeric_pickle",
        'order="F" if self.fortran else "C"',
        'order="C"',
    ),
    _dataset(
        "test_items_from_zero",
        "numbered_log",
        "found[row] = item + 1",
        "found[row] = item",
        f"{_TESTS}/datasets/test_csr_pickle.py",
    ),
    _dataset(
        "users_with_a_test_item_alone_lost",
        "numbered_log",
        "present = (counts > 0) | (held_out_items > 0)",
        "present = counts > 0",
        f"{_TESTS}/datasets/test_csr_pickle.py",
    ),
    _dataset(
        "answer_stays_in_the_text",
        "authors_text",
        "np.arange(len(users)) < ends[users]",
        "np.arange(len(users)) <= ends[users]",
        f"{_TESTS}/datasets/test_authors_text.py::test_equals_a_slow_reading",
    ),
    _file(
        "checksum_ignored",
        "return digest in _checksum(path).read_text().split()",
        "return bool(_checksum(path).read_text().split())",
        f"{_TESTS}/training/test_run_safety.py"
        "::test_a_writer_may_be_killed_between_an_artefact_and_its_checksum",
    ),
    _file(
        "checksum_before_the_rename_lost",
        "digests.append(before)",
        "digests = [before]",
        f"{_TESTS}/training/test_run_safety.py"
        "::test_a_writer_may_be_killed_between_an_artefact_and_its_checksum",
    ),
    _file(
        "copied_instead_of_renamed",
        "os.replace(temporary, path)",
        "shutil.copyfile(temporary, path)",
        f"{_TESTS}/training/test_fit.py::test_a_file_is_written_whole_or_not_at_all",
    ),
    _file(
        "half_a_file_after_an_error",
        "        with contextlib.suppress(OSError):\n            temporary.unlink(missing_ok=True)",
        "        with contextlib.suppress(OSError):\n            os.replace(temporary, path)",
        f"{_TESTS}/training/test_fit.py::test_a_file_is_written_whole_or_not_at_all",
    ),
)
