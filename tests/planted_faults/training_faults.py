"""Faults in training: examples, batches, optimisers, settings, runs, searches and experiments."""

from .fault import Fault

_TRAINING, _TESTS = "pipelines/training", "tests/pipelines"
_BATCHES = f"{_TESTS}/training/test_training_batches.py"
_FIT = f"{_TESTS}/training/test_fit.py"
_EPOCH = f"{_BATCHES}::test_an_epoch_is_what_the_log_says[host-last-by_length]"
_RANDOM_ORDER = f"{_BATCHES}::test_items_in_random_order_keep_their_events[host]"
_IDS = (
    f"{_TESTS}/training/test_objectives.py"
    "::test_users_and_times_are_those_of_the_events[device-time]"
)
_PLAN = f"{_TESTS}/training/test_batch_plan.py"
_OPTIMIZERS = "tests/hmar_keras/test_optimizers.py"
_CONFIG = "tests/hmar_keras/test_config.py"


def _trained(
    name: str, area: str, file: str, old: str, new: str, *likely: str, marker: str = ""
) -> Fault:
    return Fault(name, area, f"{_TRAINING}/{file}.py", old, new, likely, marker)


def _objective(name: str, old: str, new: str, likely: str) -> Fault:
    return Fault(name, "objectives", "hmar_keras/objectives.py", old, new, (likely,))


def _optimizer(name: str, old: str, new: str) -> Fault:
    return Fault(name, "optimisers", "hmar_keras/optimizers.py", old, new, (_OPTIMIZERS,))


def _setting(name: str, file: str, old: str, new: str) -> Fault:
    return Fault(name, "settings", f"hmar_keras/{file}.py", old, new, (_CONFIG,))


def _of_many(name: str, package: str, file: str, old: str, new: str) -> Fault:
    likely = (f"{_TESTS}/{package}/test_{file}.py",)
    return Fault(name, package, f"pipelines/{package}/{file}.py", old, new, likely)


TRAINING_FAULTS = (
    _objective(
        "behavior_of_the_event_before",
        "windows.item_ids[:, :-1] > 0, windows.behavior_ids[:, 1:], 0)",
        "windows.item_ids[:, :-1] > 0, windows.behavior_ids[:, :-1], 0)",
        _EPOCH,
    ),
    _objective(
        "newness_of_the_event_before",
        "xp.where(windows.is_first[:, 1:], _next",
        "xp.where(windows.is_first[:, :-1], _next",
        f"{_BATCHES}::test_new_items_alone_are_ranked[host]",
    ),
    _objective(
        "mask_of_the_wrong_share",
        "hidden = (windows.uniform() < self.share)",
        "hidden = (windows.uniform() > self.share)",
        f"{_TESTS}/training/test_objectives.py::test_masked_items_are_hidden_and_asked_for",
    ),
    _trained(
        "window_without_its_lookahead",
        "examples",
        "examples",
        "longest = max_length + objective.lookahead",
        "longest = max_length",
        f"{_TESTS}/training/test_examples.py",
    ),
    _trained(
        "windows_leave_events_out",
        "examples",
        "examples",
        "ends[users] - piece * max_length",
        "ends[users] - piece * (max_length + 1)",
        f"{_TESTS}/training/test_examples.py",
    ),
    _trained(
        "first_on_its_item_of_all_users",
        "examples",
        "examples",
        "pairs = event_users(dataset) * (dataset.num_items + 1) + dataset.item_ids",
        "pairs = dataset.item_ids",
        f"{_TESTS}/training/test_examples.py",
    ),
    _trained(
        "lengths_rounded_down",
        "batch_plan",
        "batch_plan",
        "return np.minimum(-(-lengths // steps) * steps, max_length)",
        "return np.minimum(np.maximum(lengths // steps, 1) * steps, max_length)",
        _PLAN,
    ),
    _trained(
        "shortest_windows_first",
        "batch_plan",
        "batch_plan",
        "longest_first = np.sort(padded)[::-1]",
        "longest_first = np.sort(padded)",
        _PLAN,
    ),
    _trained(
        "batches_of_as_many_windows",
        "batch_plan",
        "batch_plan",
        "round(budget / longest_first[starts[-1]])",
        "training.batch_size",
        _PLAN,
    ),
    _trained(
        "windows_never_shuffled",
        "batches",
        "host_batches",
        "order = tf.argsort(classes + ties)",
        "order = tf.argsort(classes)",
        f"{_BATCHES}::test_whom_a_window_meets_is_uniform_among_its_like[host]",
    ),
    _trained(
        "events_of_an_item_torn_apart",
        "batches",
        "host_batches",
        "tf.gather(numbers, first, batch_dims=1)",
        "numbers",
        _RANDOM_ORDER,
    ),
    _trained(
        "first_behavior_evaluated",
        "batches",
        "host_batches",
        "(len(questions), 1), splits.dataset.behaviors.target_id,",
        "(len(questions), 1), 1,",
        f"{_TESTS}/training/test_host_batches.py",
    ),
    _trained(
        "every_epoch_is_the_first",
        "batches",
        "device_batches",
        "jax.random.fold_in(self._seed, epoch), 3)",
        "jax.random.fold_in(self._seed, 0), 3)",
        f"{_BATCHES}::test_the_seed_and_the_epoch_decide_alone[device]",
        marker="backends",
    ),
    _trained(
        "device_users_from_zero",
        "batches",
        "device_batches",
        "user_ids=users + 1 if",
        "user_ids=users if",
        _IDS,
        marker="backends",
    ),
    _trained(
        "device_times_since_zero",
        "batches",
        "device_batches",
        "sum(part - part[:, :1] for part in parts)",
        "sum(part for part in parts)",
        _IDS,
        marker="backends",
    ),
    _optimizer(
        "adam_squares_duplicate_rows",
        "super().update_step(_summed(gradient, variable), variable, learning_rate)",
        "super().update_step(gradient, variable, learning_rate)",
    ),
    _optimizer(
        "lazy_duplicate_rows_not_summed",
        "sums = _sums(gradient.values, places, ops.shape(rows)[0])",
        "sums = ops.take(gradient.values, ops.unique(places, return_index=True)[1], axis=0)",
    ),
    _optimizer(
        "lazy_without_bias_correction",
        '"float32") * ops.sqrt(1 - ops.power(beta_2, step))',
        '"float32")',
    ),
    _optimizer(
        "lazy_epsilon_under_the_root",
        "(ops.sqrt(velocity) + self.epsilon)",
        "ops.sqrt(velocity + self.epsilon)",
    ),
    _optimizer(
        "lazy_untouched_rows_move",
        'return variable.path.endswith("embeddings")',
        'return variable.path.endswith("embedding")',
    ),
    _optimizer(
        "lazy_moment_does_not_fade",
        "velocity * ops.power(beta_2, step - last_step)",
        "velocity * beta_2",
    ),
    _setting(
        "open_bound_is_closed", "settings", '"above": (operator.gt,', '"above": (operator.ge,'
    ),
    _setting(
        "upper_bound_is_closed", "settings", '"below": (operator.lt,', '"below": (operator.le,'
    ),
    _setting(
        "true_is_a_number",
        "settings",
        "if not isinstance(value, int | float) or isinstance(value, bool):",
        "if not isinstance(value, int | float):",
    ),
    _trained(
        "holdout_not_saved",
        "settings",
        "run_config",
        "owned = {**self.training.to_dict(), **self.split.to_dict()}",
        "owned = {**self.training.to_dict()}",
        f"{_TESTS}/training/test_run_config.py",
    ),
    _trained(
        "cosine_one_epoch_ahead",
        "schedule",
        "fit",
        "math.cos(math.pi * epoch / training.epochs)",
        "math.cos(math.pi * (epoch + 1) / training.epochs)",
        f"{_TESTS}/training/test_learning_rate.py::test_closed_forms",
    ),
    _trained(
        "latest_of_equal_epochs",
        "resume",
        "fit",
        "return int(np.argmax([epoch[MONITORED] for epoch in history])) + 1",
        "return len(history) - int(np.argmax([epoch[MONITORED] for epoch in history[::-1]]))",
        f"{_FIT}::test_the_best_epoch_is_the_earliest_of_equals",
    ),
    _trained(
        "resumed_with_the_first_batches",
        "resume",
        "host_batches",
        '"x": self.dataset(initial_epoch),',
        '"x": self.dataset(),',
        f"{_FIT}::test_resuming_is_exact[1]",
    ),
    _trained(
        "resumed_with_new_weights",
        "resume",
        "fit",
        "_load_state(model, run, len(scores))",
        "prepare(model, splits)",
        f"{_FIT}::test_resuming_is_exact[1]",
    ),
    _trained(
        "dropout_of_the_first_epoch",
        "resume",
        "validation",
        "np.random.SeedSequence([self._seed, epoch, number])",
        "np.random.SeedSequence([self._seed, number])",
        f"{_FIT}::test_the_seed_and_the_epoch_decide_the_dropout",
    ),
    _trained(
        "patience_one_too_long",
        "resume",
        "fit",
        "return stale >= training.patience or",
        "return stale > training.patience or",
        f"{_FIT}::test_a_run_ends_where_patience_or_epochs_do",
    ),
    _of_many(
        "searched_for_the_worst",
        "tuning",
        "oracles",
        'keras_tuner.Objective(objective, "max")',
        'keras_tuner.Objective(objective, "min")',
    ),
    _of_many(
        "search_begins_anywhere",
        "tuning",
        "oracles",
        "        if not self.trials:\n            return",
        "        if self.trials:\n            return",
    ),
    Fault(
        "worst_trial_ranked_first",
        "tuning",
        "pipelines/tuning/trials.py",
        "key=lambda trial: -trial.score",
        "key=lambda trial: trial.score",
        (f"{_TESTS}/tuning/test_oracles.py::test_the_best_trials_have_the_highest_scores",),
    ),
    _of_many(
        "range_does_not_reach_the_start",
        "tuning",
        "space",
        "low=min(self.low, value), high=max(self.high, value)",
        "low=min(self.low, value), high=self.high",
    ),
    _of_many(
        "difference_the_wrong_way",
        "experiments",
        "comparison",
        "differences = reference - other",
        "differences = other - reference",
    ),
    _of_many(
        "comparison_not_paired",
        "experiments",
        "comparison",
        "differences = reference - other",
        "differences = np.sort(reference) - np.sort(other)",
    ),
    _of_many(
        "deviation_of_a_population",
        "experiments",
        "comparison",
        "np.std(values, ddof=1)",
        "np.std(values)",
    ),
    _of_many(
        "ablation_without_effect",
        "experiments",
        "suites",
        '{"indicators": False}',
        '{"indicators": True}',
    ),
)
