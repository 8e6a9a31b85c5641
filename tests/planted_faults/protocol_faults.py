"""Faults in who is asked what, and in how answers are judged."""

from .fault import Fault

_TESTS = "tests/pipelines"
_BATCHES = f"{_TESTS}/training/test_training_batches.py"
_UNIFORM = "test_negatives_are_uniform_outside_the_history"
_HISTORIES = f"{_TESTS}/training/test_host_batches.py"
_HOST, _DEVICE = "host_batches", "device_batches"


def _fault(name: str, area: str, package: str, file: str, old: str, new: str) -> Fault:
    likely = (f"{_TESTS}/{package}/test_{file}.py",)
    return Fault(name, area, f"pipelines/{package}/{file}.py", old, new, likely)


def _negative(name: str, old: str, new: str) -> Fault:
    return _fault(name, "negatives", "protocol", "negatives", old, new)


def _batch(name: str, file: str, old: str, new: str, likely: str = _UNIFORM) -> Fault:
    likely = f"{_BATCHES}::{likely}" + ("[host]" if file == _HOST else "")
    return Fault(name, "negatives", f"pipelines/training/{file}.py", old, new, (likely,))


def _split(name: str, old: str, new: str) -> Fault:
    return _fault(name, "splits", "protocol", "splits", old, new)


def _question(name: str, old: str, new: str, *tests: str) -> Fault:
    likely = tuple(f"{_TESTS}/{each}" for each in tests) or (_HISTORIES,)
    return Fault(name, "questions", "pipelines/protocol/questions.py", old, new, likely)


def _answer(name: str, area: str, old: str, new: str) -> Fault:
    return _fault(name, area, "evaluation", "evaluator", old, new)


def _metric(name: str, old: str, new: str) -> Fault:
    likely = ("tests/hmar_keras/test_metrics.py",)
    return Fault(name, "metrics", "hmar_keras/metrics.py", old, new, likely)


def _baseline(name: str, old: str, new: str) -> Fault:
    return _fault(name, "baselines", "evaluation", "baselines", old, new)


def _rule(name: str, file: str, old: str, new: str) -> Fault:
    likely = (f"{_TESTS}/evaluation/test_rules.py",)
    return Fault(name, "baselines", f"pipelines/{file}.py", old, new, likely)


def _popularity(name: str, old: str, new: str) -> Fault:
    likely = (f"{_TESTS}/evaluation/test_baselines.py",)
    return Fault(name, "baselines", "pipelines/protocol/training_counts.py", old, new, likely)


PROTOCOL_FAULTS = (
    _negative("items_counted_from_zero", "return places + below + 1", "return places + below"),
    _negative("touched_item_drawn", 'side="right") - self.starts', 'side="left") - self.starts'),
    _negative(
        "last_item_never_drawn",
        "return self.num_items - np.diff(self.starts)",
        "return self.num_items - 1 - np.diff(self.starts)",
    ),
    _negative(
        "another_items_weight_excluded",
        "keys[rows[block] - first, items[block]] = -np.inf",
        "keys[rows[block] - first, items[block] - 1] = -np.inf",
    ),
    _negative("padding_drawn", "keys[:, 0] = -np.inf", "keys[:, -1] = -np.inf"),
    _negative(
        "samples_repeat",
        "np.where(taken, highest, drawn)",
        "np.where(taken, drawn, drawn)",
    ),
    _batch(
        "touched_item_drawn_on_the_host",
        _HOST,
        'self._keys, wanted, side="right"',
        'self._keys, wanted, side="left"',
    ),
    _batch(
        "last_item_never_drawn_on_the_host",
        _HOST,
        "tf.math.floormod(numbers, tf.gather(self._outside, users))",
        "tf.math.floormod(numbers, tf.gather(self._outside, users) - 1)",
    ),
    _batch(
        "same_negatives_in_every_epoch",
        _HOST,
        "stateless_fold_in([self._seed, epoch], number)",
        "stateless_fold_in([self._seed, 0], number)",
        "test_every_batch_epoch_and_position_has_its_own_draw",
    ),
    _batch(
        "touched_item_drawn_on_the_device",
        _DEVICE,
        "(more <= count) & (highest <= places)",
        "(more <= count) & (highest < places)",
        "test_the_device_draws_all_items_outside_a_history_and_no_others",
    ),
    Fault(
        "items_of_another_user_excluded",
        "negatives",
        "pipelines/training/examples.py",
        "        dataset.item_ids[trained],\n        dataset.num_users,",
        "        np.roll(dataset.item_ids[trained], 1),\n        dataset.num_users,",
        (f"{_BATCHES}::test_shared_negatives_are_one_set_a_window[host-by_length]",),
    ),
    Fault(
        "answer_drawn_as_a_negative",
        "negatives",
        "pipelines/protocol/questions.py",
        "items = np.concatenate([items, questions.positives])",
        "items = np.concatenate([items, np.ones_like(questions.positives)])",
        (f"{_HISTORIES}::test_evaluation_candidates_are_new_to_the_user_and_distinct",),
    ),
    _split(
        "validation_event_is_trained_on",
        "np.where(validated, before_last, dataset.offsets[1:])",
        "np.where(validated, before_last + 1, dataset.offsets[1:])",
    ),
    _split(
        "training_events_one_too_many",
        "np.arange(self.dataset.num_events) < self.train_ends[users]",
        "np.arange(self.dataset.num_events) <= self.train_ends[users]",
    ),
    _split(
        "validated_on_the_test_event",
        "events[np.maximum(ends - 2, 0)], 0)",
        "events[np.maximum(ends - 1, 0)], 0)",
    ),
    _split(
        "any_behavior_is_a_target",
        "events = np.flatnonzero(dataset.behavior_ids == dataset.behaviors.target_id)",
        "events = np.flatnonzero(dataset.behavior_ids >= 1)",
    ),
    _split(
        "users_with_three_targets_left_out",
        "asked = counts >= MIN_TARGET_EVENTS",
        "asked = counts > MIN_TARGET_EVENTS",
    ),
    _split(
        "official_answer_without_its_history",
        "test = _questions(dataset, tested, ends, dataset.held_out_items)",
        "test = _questions(dataset, tested, ends - 1, dataset.held_out_items)",
    ),
    _split(
        "one_event_of_the_item_held_out",
        "return dataset, dataset.offsets[1:] - counts",
        "return dataset, dataset.offsets[1:] - np.minimum(counts, 1)",
    ),
    _split(
        "validation_answer_always_the_last",
        "np.random.default_rng(0).integers(0, np.maximum(counts, 1))",
        "np.maximum(counts - 1, 0)",
    ),
    _split(
        "visible_events_one_off",
        "before = np.concatenate([[0], np.cumsum(seen)])",
        "before = np.concatenate([np.cumsum(seen), [np.count_nonzero(seen)]])",
    ),
    _question(
        "history_reversed",
        "ages = np.arange(length, 0, -1)",
        "ages = np.arange(1, length + 1)",
    ),
    _question(
        "history_holds_the_answer",
        "events = ends[:, None] - ages",
        "events = ends[:, None] - ages + 1",
    ),
    _question("first_event_missing", "events >= starts[:, None]", "events > starts[:, None]"),
    _question(
        "times_since_the_newest",
        "times - times[:, :1]",
        "times - times[:, -1:]",
        "training/test_host_batches.py",
    ),
    _question(
        "users_counted_from_zero",
        "(questions.users + 1).astype(np.int32)",
        "questions.users.astype(np.int32)",
        "training/test_host_batches.py",
    ),
    _metric(
        "ndcg_natural_log", "return 1.0 / ops.log2(rank + 2.0)", "return 1.0 / ops.log(rank + 2.0)"
    ),
    _metric("ndcg_rank_off_by_one", "ops.log2(rank + 2.0)", "ops.log2(rank + 3.0)"),
    _metric(
        "ties_count_for_the_model", "ops.less(others, positive)", "ops.less_equal(others, positive)"
    ),
    _metric("list_one_too_long", "ops.less(rank, self.k)", "ops.less_equal(rank, self.k)"),
    _metric(
        "accuracy_one_behavior_off",
        'ops.cast(ops.argmax(y_pred, axis=-1), "int32") + 1',
        'ops.cast(ops.argmax(y_pred, axis=-1), "int32")',
    ),
    _metric(
        "broken_scores_are_hits",
        "below = ops.logical_and(below, ops.isfinite(positive))",
        "below = ops.logical_or(below, ops.logical_not(ops.isfinite(positive)))",
    ),
    _answer(
        "evaluated_ndcg_natural_log",
        "metrics",
        "1 / np.log2(ranks + 2.0)",
        "1 / np.log(ranks + 2.0)",
    ),
    _answer("rank_off_by_one", "metrics", "return sizes - below - 1,", "return sizes - below,"),
    _answer(
        "equal_scores_below", "metrics", "below = scores < np.where", "below = scores <= np.where"
    ),
    _answer(
        "mean_over_what_is_not_asked",
        "metrics",
        "asked = self.ranks >= 0",
        "asked = self.ranks >= -1",
    ),
    _answer(
        "touched_items_not_left_out",
        "evaluation",
        "_ranks(num_items - without, count - without_below)",
        "_ranks(num_items, count)",
    ),
    _answer(
        "known_answers_asked_for_new_items",
        "evaluation",
        "ranks[rows[items == questions.positives[rows]]]",
        "ranks[rows[items == questions.positives[rows] - 1]]",
    ),
    _question(
        "touched_items_counted_twice",
        "last = np.diff(pairs, append=-1) != 0",
        "last = pairs >= 0",
        "evaluation/test_evaluator.py",
    ),
    _question(
        "weakest_behaviour_decides",
        "np.diff(pairs, append=-1)",
        "np.diff(pairs, prepend=-1)",
        "evaluation/test_evaluator.py",
    ),
    _answer(
        "validation_without_new_items",
        "evaluation",
        'return (full["ndcg@10"] + unseen["ndcg@10"]) / 2',
        'return full["ndcg@10"]',
    ),
    _fault(
        "histories_trimmed_too_short",
        "evaluation",
        "evaluation",
        "scoring",
        "return min(-(-longest // step) * step, max_length)",
        "return min(max(longest // step, 1) * step, max_length)",
    ),
    _popularity(
        "popularity_of_all_events",
        "counts = target_events(splits) + events / (events.max() + 1)",
        "counts = events + target_events(splits) / (events.max() + 1)",
    ),
    _popularity(
        "popularity_of_held_out_events",
        "on_target = trained & (dataset",
        "on_target = np.ones_like(trained) & (dataset",
    ),
    _baseline(
        "oldest_item_repeated_first",
        "1 + np.arange(len(rows)) - np.searchsorted(rows, rows)",
        "1 + len(rows) - np.arange(len(rows))",
    ),
    _rule(
        "item_speaks_for_itself",
        "evaluation/session_cooccurrence",
        "terms.data[terms.indices == rows + start] = 0",
        "terms.data[terms.indices == rows + start] = 1",
    ),
    _rule(
        "repeated_items_count_more",
        "protocol/training_counts",
        "matrix.data[:] = 1",
        "matrix.data[:] *= 1",
    ),
)
