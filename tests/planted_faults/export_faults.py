"""Faults in exports, in retrieval and in what a server answers."""

from .fault import Fault

_EXPORT, _TESTS = "pipelines/export", "tests/pipelines"
_EXPORTED = f"{_TESTS}/export/test_export.py"
_TWO_STAGES = f"{_TESTS}/export/test_retrieval.py::test_the_same_items_in_the_same_order"
_LIVE = f"{_TESTS}/export/test_blessing.py"


def _answer(name: str, old: str, new: str, *tests: str) -> Fault:
    likely = tuple(f"{_EXPORTED}::test_{each}" for each in tests)
    return Fault(name, "export", f"{_EXPORT}/signatures.py", old, new, likely)


def _retrieved(name: str, file: str, old: str, new: str, *likely: str) -> Fault:
    return Fault(name, "retrieval", f"{_EXPORT}/{file}.py", old, new, likely or (_TWO_STAGES,))


def _written(name: str, file: str, old: str, new: str, *likely: str) -> Fault:
    return Fault(name, "export", f"{_EXPORT}/{file}.py", old, new, likely)


def _served(name: str, file: str, old: str, new: str, *likely: str) -> Fault:
    likely = likely or (f"{_TESTS}/serving/test_{file}.py",)
    return Fault(name, "serving", f"pipelines/serving/{file}.py", old, new, likely)


EXPORT_FAULTS = (
    _answer(
        "one_item_more_than_k",
        "tf.range(tf.shape(scores)[1])[None] < k",
        "tf.range(tf.shape(scores)[1])[None] <= k",
        "every_history_may_have_options_of_its_own",
    ),
    _answer(
        "names_of_the_next_items",
        "names = self.item_names.lookup(tf.cast(ids, tf.int64) - 1)",
        "names = self.item_names.lookup(tf.cast(ids, tf.int64))",
        "recommend_equals_the_model",
    ),
    _answer(
        "seen_items_left_out_unasked",
        "tf.where(_column(exclude_seen, seen), seen, ",
        "tf.where(~_column(exclude_seen, seen), seen, ",
        "seen_items_can_be_left_out",
    ),
    _answer(
        "oldest_events_of_a_long_history",
        "last = order[:, -self._model.config.max_length :]",
        "last = order[:, : self._model.config.max_length]",
        "recommend_equals_the_model",
    ),
    _answer(
        "unknown_events_stay",
        "tf.argsort(tf.cast(known, tf.int32), axis=1, stable=True)",
        "tf.argsort(tf.zeros_like(tf.cast(known, tf.int32)), axis=1, stable=True)",
        "padding_and_unknown_events_change_nothing",
    ),
    _answer(
        "padding_counted_as_unknown",
        'given = (items != "") | (behaviors != "")',
        "given = items == items",
        "what_is_unknown_is_left_out_and_counted",
    ),
    _answer(
        "behaviors_numbered_from_zero",
        "list(self._names), tf.range(1, len(self._names) + 1)",
        "list(self._names), tf.range(len(self._names))",
        "recommend_equals_the_model",
    ),
    _answer(
        "probabilities_do_not_add_up",
        '"probabilities": tf.nn.softmax(logits)',
        '"probabilities": tf.nn.sigmoid(logits)',
        "behavior_equals_the_models_head",
    ),
    _written(
        "popularity_of_padding",
        "saved_model",
        "popularity[0] = LOWEST_SCORE",
        "popularity[-1] = LOWEST_SCORE",
        f"{_EXPORTED}::test_a_stranger_gets_what_is_popular",
    ),
    _written(
        "version_is_the_number_of_versions",
        "saved_model",
        "number = max(versions(directory), default=0) + 1",
        "number = len(versions(directory)) + 1",
        f"{_TESTS}/runtime/test_model_versions.py",
    ),
    _written(
        "settings_missing_in_the_metadata",
        "saved_model",
        "**chosen, **provenance}",
        "**provenance}",
        f"{_EXPORTED}::test_the_recommender_needs_only_the_export",
    ),
    _written(
        "damaged_exports_load",
        "checksums",
        "if digest(version / name) != known]",
        "if not digest(version / name)]",
        f"{_TESTS}/export/test_export_safety.py::test_changed_and_missing_files_are_noticed",
    ),
    _written(
        "oldest_version_is_loaded",
        "loaded_export",
        "return there[max(there)]",
        "return there[min(there)]",
        f"{_EXPORTED}::test_the_latest_version_is_loaded",
    ),
    _written(
        "tolerance_asks_for_more",
        "blessing",
        "validation_score(live), 1 - tolerance)",
        "validation_score(live), 1 + tolerance)",
        f"{_LIVE}::test_the_decision",
    ),
    _written(
        "kept_versions_unloaded",
        "rollout",
        "sorted({*self.labels.values(), *self.keep})",
        "sorted({*self.labels.values()})",
        f"{_TESTS}/export/test_rollout.py",
    ),
    _retrieved(
        "touched_items_answered",
        "best_items",
        "corrected = tf.where(_contains(hidden, gaining), LOWEST_SCORE, corrected)",
        "corrected = tf.where(gaining == 0, LOWEST_SCORE, corrected)",
    ),
    _retrieved(
        "too_few_where_items_are_hidden",
        "best_items",
        "spare = _most(gaining > 0) + _most(hidden > 0) + others",
        "spare = _most(gaining > 0) + others",
    ),
    _retrieved(
        "gaining_items_answered_twice",
        "best_items",
        "_contains(tf.concat([hidden, gaining], 1), ids)",
        "_contains(hidden, ids)",
    ),
    _retrieved(
        "only_the_largest_gain",
        "best_items",
        "tf.math.unsorted_segment_sum(gains, places, tf.size(ids))",
        "tf.math.unsorted_segment_max(gains, places, tf.size(ids))",
    ),
    _retrieved(
        "padding_makes_a_stranger",
        "best_items",
        "tf.reduce_all(item_ids == 0, axis=1, keepdims=True)",
        "tf.reduce_any(item_ids == 0, axis=1, keepdims=True)",
        f"{_EXPORTED}::test_padding_and_unknown_events_change_nothing",
        f"{_EXPORTED}::test_recommend_equals_the_model",
    ),
    _retrieved(
        "offsets_missing_for_the_corrected",
        "best_items",
        "scores, corrected = scores + offsets, corrected + offsets",
        "scores = scores + offsets",
    ),
    _retrieved(
        "last_item_not_streamed",
        "retrieval",
        "tf.range(start, tf.minimum(start + _STREAMED_ITEMS, table.input_dim))",
        "tf.range(start, tf.minimum(start + _STREAMED_ITEMS, table.input_dim - 1))",
    ),
    _served(
        "inputs_by_the_first_row",
        "json_tensors",
        "return {name: [row[name] for row in rows] for name in sorted(names)}",
        "return {name: [rows[0][name] for row in rows] for name in sorted(names)}",
    ),
    _served(
        "infinite_numbers_in_json",
        "json_tensors",
        "np.where(np.isfinite(array), array.astype(object), None)",
        "np.where(~np.isnan(array), array.astype(object), None)",
    ),
    _served(
        "values_added_up",
        "limits",
        "if math.prod(shape) > MAX_VALUES:",
        "if sum(shape) > MAX_VALUES:",
    ),
    _served("k_of_one_history", "limits", "if histories * k > MAX_VALUES:", "if k > MAX_VALUES:"),
    _served(
        "only_the_last_example_is_checked",
        "value_limits",
        "longest = max(longest, len(features[name].bytes_list.value))",
        "longest = len(features[name].bytes_list.value)",
        f"{_TESTS}/serving/test_limits.py",
    ),
    _served(
        "smallest_k_is_checked",
        "value_limits",
        'int(inputs["k"].max())',
        'int(inputs["k"].min())',
        f"{_TESTS}/serving/test_limits.py",
    ),
    _served(
        "oldest_version_is_served",
        "served_model",
        "sorted(found, reverse=True) if self._is_ready",
        "sorted(found) if self._is_ready",
    ),
    _served(
        "labelled_versions_unloaded",
        "served_model",
        "kept = {latest, *self.labels.values()}",
        "kept = {latest}",
    ),
    _served(
        "version_of_a_request_ignored",
        "served_model",
        "self._live.get(self._latest if version is None else version)",
        "self._live.get(self._latest)",
    ),
    _served(
        "version_freed_under_a_request",
        "served_model",
        "if live.is_retired and not live.requests:",
        "if live.is_retired:",
    ),
    _served(
        "defaults_win",
        "loaded_version",
        "(self._defaults | inputs).items()",
        "(inputs | self._defaults).items()",
        f"{_TESTS}/serving/test_services.py::test_what_is_given_replaces_a_default",
    ),
)
