"""Faults in the losses, layers and models of `hmar_keras`."""

from .fault import Fault

_PACKAGE, _TESTS = "hmar_keras", "tests/hmar_keras"
_LAYERS, _LAYER_TESTS = f"{_PACKAGE}/layers", f"{_TESTS}/layers"
_MODEL_TESTS = f"{_TESTS}/models/test_hmar.py"
_REFERENCE = f"{_MODEL_TESTS}::test_equals_the_reference"
_CATALOGUE = f"{_MODEL_TESTS}::test_score_catalog_equals_ranking"


def _loss(name: str, old: str, new: str, tests: str = "test_ranking_losses.py") -> Fault:
    return Fault(name, "losses", f"{_PACKAGE}/losses.py", old, new, (f"{_TESTS}/{tests}",))


def _mask(name: str, old: str, new: str, tests: str = "test_masks.py") -> Fault:
    return Fault(name, "masks", f"{_PACKAGE}/masks.py", old, new, (f"{_TESTS}/{tests}",))


def _layer(name: str, area: str, layer: str, old: str, new: str, *more: str) -> Fault:
    likely = (f"{_LAYER_TESTS}/test_{layer}.py", *more)
    return Fault(name, area, f"{_LAYERS}/{layer}.py", old, new, likely)


def _count(name: str, old: str, new: str) -> Fault:
    return _layer(name, "counts", "historical_behavior_indicators", old, new)


def _memory(name: str, old: str, new: str) -> Fault:
    counts = "tests/pipelines/training/test_memory_counts.py"
    return _layer(name, "memory", "log_memory", old, new, counts)


def _kernel(name: str, area: str, old: str, new: str) -> Fault:
    return Fault(name, area, f"{_PACKAGE}/kernels.py", old, new, (f"{_TESTS}/test_kernels.py",))


def _model(name: str, area: str, file: str, old: str, new: str, *likely: str) -> Fault:
    return Fault(name, area, f"{_PACKAGE}/{file}", old, new, likely)


MODEL_FAULTS = (
    _loss(
        "bce_positive_sign",
        "positive = alpha * ops.softplus(-y_pred[..., 0])",
        "positive = alpha * ops.softplus(y_pred[..., 0])",
        "test_losses.py",
    ),
    _loss(
        "bce_negatives_summed",
        "self.beta * ops.mean(ops.softplus(y_pred[..., 1:]), axis=-1)",
        "self.beta * ops.sum(ops.softplus(y_pred[..., 1:]), axis=-1)",
        "test_losses.py",
    ),
    _loss(
        "bce_beta_ignored",
        "return positive + self.beta * ops.mean(",
        "return positive + ops.mean(",
        "test_losses.py",
    ),
    _loss(
        "padding_dilutes_the_mean",
        'kwargs.setdefault("reduction", "mean_with_sample_weight")',
        'kwargs.setdefault("reduction", "sum_over_batch_size")',
        "test_losses.py",
    ),
    _loss(
        "behavior_loss_one_class_off",
        'columns, dtype="float32")[..., 1:]',
        'columns, dtype="float32")[..., :-1]',
        "test_losses.py",
    ),
    _loss(
        "gbce_power",
        "return self.sampling_rate * self.calibration + 1 - self.calibration",
        "return self.sampling_rate * (1 - self.calibration) + self.calibration",
    ),
    _loss(
        "softmax_rate_multiplied",
        "negatives = y_pred[..., 1:] - rates",
        "negatives = y_pred[..., 1:] + rates",
    ),
    _model(
        "alpha_in_the_order_of_the_names",
        "losses",
        "config.py",
        "return [self.alpha[name] for name in self.behaviors.names]",
        "return [self.alpha[name] for name in sorted(self.behaviors.names)]",
        f"{_TESTS}/test_config.py::test_alpha_is_complete_and_in_the_order_of_the_ids",
    ),
    _model(
        "alpha_of_the_first_behavior",
        "losses",
        "models/hmar.py",
        "return _TARGET_ALPHA if behavior == self.behaviors.target else _OTHER_ALPHA",
        "return _TARGET_ALPHA if behavior == self.behaviors.names[0] else _OTHER_ALPHA",
        f"{_TESTS}/test_config.py::test_alpha_fills_up_with_the_papers_usual_weights",
    ),
    _model(
        "theta_ignored",
        "losses",
        "models/hmar.py",
        "Output(BehaviorLoss(), self.config.theta,",
        "Output(BehaviorLoss(), 1.0,",
        f"{_TESTS}/models/test_hmar_training.py::test_losses_and_metrics_belong_to_their_heads",
    ),
    _model(
        "sampling_rate_with_the_answer",
        "losses",
        "config.py",
        "return self.num_negatives / max(1, self.num_items - 1)",
        "return self.num_negatives / max(1, self.num_items)",
        f"{_TESTS}/test_config.py::test_the_sampling_rate_is_a_share_of_the_other_items",
    ),
    _mask(
        "causal_without_the_event_itself",
        "return ops.greater_equal(positions[:, None], positions[None, :])",
        "return ops.greater(positions[:, None], positions[None, :])",
    ),
    _mask(
        "padding_masked_as_query",
        "event_mask(ids)[:, None, :])",
        "event_mask(ids)[:, :, None])",
    ),
    _mask(
        "padding_is_a_behavior",
        "keys = ops.where(event_mask(behavior_ids), behavior_ids, -1)",
        "keys = behavior_ids",
    ),
    _mask(
        "behavior_mask_sees_the_future",
        "return ops.logical_and(same, causal_mask(ops.shape(behavior_ids)[1])[None])",
        "return same",
    ),
    _mask(
        "sample_weights_ignored",
        "return weights * sample_weight",
        "return weights",
        "test_losses.py::test_sample_weights_weigh_the_mean",
    ),
    _kernel(
        "attention_mask_too_weak",
        "masks",
        '(ops.cast(mask[:, None], "float32") - 1) * 1e9',
        '(ops.cast(mask[:, None], "float32") - 1) * 1e1',
    ),
    _count(
        "without_the_newest_event",
        "ops.arange(length)[None, :] <=",
        "ops.arange(length)[None, :] <",
    ),
    _count(
        "steps_counted_from_the_oldest",
        "ops.arange(length - steps, length)[:, None]",
        "ops.arange(steps)[:, None]",
    ),
    _count(
        "final_counts_everywhere",
        "same = ops.logical_and(same, past[None, :, None, :])",
        "same = ops.logical_and(same, past[None, -1:, None, :])",
    ),
    _count(
        "counts_one_behavior_off",
        'self.num_behaviors + 1, dtype="float32")[..., 1:]',
        'self.num_behaviors + 1, dtype="float32")[..., :-1]',
    ),
    _count(
        "counts_clipped_to_one",
        "counts = ops.matmul(same, one_hot)",
        "counts = ops.minimum(ops.matmul(same, one_hot), 1.0)",
    ),
    _layer(
        "rezero_gates_the_output",
        "rezero",
        "rezero",
        "return outputs + gates[..., None] * inputs",
        "return gates[..., None] * outputs + inputs",
    ),
    _layer(
        "rezero_starts_open",
        "rezero",
        "rezero",
        'initializer="zeros", name="gamma"',
        'initializer="ones", name="gamma"',
    ),
    _kernel(
        "gate_of_the_next_behavior",
        "rezero",
        "values.shape[0] + 1, dtype=values.dtype)[..., 1:]",
        "values.shape[0] + 1, dtype=values.dtype)[..., :-1]",
    ),
    _layer(
        "equation_5_skipped",
        "encoders",
        "behavior_encoder",
        "encoded = self.attention(encoded, mask, behavior_ids)",
        "encoded = self.attention(inputs, mask, behavior_ids)",
    ),
    _layer(
        "residual_of_the_input",
        "encoders",
        "sequence_encoder",
        "self.attention(inputs, history_mask(ids)) + residual",
        "self.attention(inputs, history_mask(ids)) + inputs",
    ),
    _layer(
        "feed_forward_always_residual",
        "encoders",
        "feed_forward",
        "return outputs + inputs if self.residual else outputs",
        "return outputs + inputs",
    ),
    _layer(
        "classifier_reads_one_half_twice",
        "encoders",
        "behavior_classifier",
        "ops.matmul(last_steps(states, candidates), kernel[:dim])",
        "ops.matmul(last_steps(states, candidates), kernel[dim:])",
    ),
    _kernel(
        "attention_scaled_by_the_width",
        "encoders",
        "query * (1 / math.sqrt(dim))",
        "query * (1 / dim)",
    ),
    _kernel(
        "kernel_of_the_next_behavior",
        "encoders",
        "count + 1, dtype=rows.dtype)[:, 1:]",
        "count + 1, dtype=rows.dtype)[:, :-1]",
    ),
    _kernel(
        "bias_gradient_averaged",
        "encoders",
        "ops.sum(above[b], axis=0)",
        "ops.mean(above[b], axis=0)",
    ),
    _kernel(
        "first_steps_for_the_last",
        "encoders",
        "ops.slice(states, (0, length - steps, 0), (batch, steps, dim))",
        "ops.slice(states, (0, 0, 0), (batch, steps, dim))",
    ),
    _model(
        "second_block_keeps_the_residual",
        "encoders",
        "models/hmar.py",
        "latent = residual = encoder(latent, residual, item_ids)",
        "latent = encoder(latent, residual, item_ids)",
        _REFERENCE,
    ),
    _model(
        "sasrec_answers_from_the_oldest",
        "encoders",
        "models/sasrec.py",
        'Query(ops.cast(states[:, -1], "float32"))',
        'Query(ops.cast(states[:, 0], "float32"))',
        f"{_TESTS}/models/test_sasrec.py::test_three_ways_to_score_agree",
    ),
    _layer(
        "positions_from_the_oldest",
        "embeddings",
        "position_embedding",
        "ops.convert_to_tensor(self.positions)[start:]",
        "ops.convert_to_tensor(self.positions)[: ops.shape(inputs)[1]]",
    ),
    _layer(
        "scaled_the_wrong_way",
        "embeddings",
        "item_behavior_embedding",
        "item_kernel = item_kernel * math.sqrt(self.dim)",
        "item_kernel = item_kernel / math.sqrt(self.dim)",
        _REFERENCE,
    ),
    _layer(
        "offset_missing_for_negatives",
        "embeddings",
        "item_behavior_embedding",
        "self.item_table.dot(by_item, negative_ids) + constant",
        "self.item_table.dot(by_item, negative_ids)",
        f"{_TESTS}/models/test_hmar_options.py::test_shared_negatives_are_scored_as_candidates_are",
    ),
    _layer(
        "padded_candidates_have_a_score",
        "embeddings",
        "item_behavior_embedding",
        'scores = (scores + constant) * ops.cast(event_mask(item_ids), "float32")',
        "scores = scores + constant",
        f"{_MODEL_TESTS}::test_padded_candidates_score_zero",
    ),
    _layer(
        "padding_has_an_embedding",
        "embeddings",
        "item_embedding",
        "items = items * ops.cast(event_mask(item_ids)[..., None], items.dtype)",
        "items = items * 1.0",
    ),
    Fault(
        "both_hashes_in_one_half",
        "embeddings",
        f"{_LAYERS}/hashed_item_table.py",
        'ops.array([0, buckets], "int32")',
        'ops.array([0, 0], "int32")',
        (f"{_LAYER_TESTS}/test_item_table.py",),
    ),
    _model(
        "catalogue_gains_one_behavior_off",
        "embeddings",
        "models/hmar.py",
        "ops.pad(by_behavior, [[0, 0], [1, 0]])",
        "ops.pad(by_behavior, [[0, 0], [0, 1]])",
        _CATALOGUE,
    ),
    _memory(
        "own_sessions_counted",
        "ops.where(total - share > _NOISE * share, total - share, 0.0)",
        "ops.where(total > _NOISE * share, total, 0.0)",
    ),
    _memory(
        "own_user_counted",
        "self.scale * others * without[1]",
        "self.scale * others * with_user[1]",
    ),
    _memory(
        "own_pair_kept",
        "ops.logical_or(is_kept, share == 0)",
        "ops.logical_or(is_kept, share >= 0)",
    ),
    _memory(
        "next_event_seen", "seen = ops.logical_and(ages >= 0", "seen = ops.logical_and(ages >= -1"
    ),
    _memory(
        "answer_twice_a_candidate",
        "ops.logical_and(history.newest, is_other)",
        "ops.logical_and(history.newest, is_other | True)",
    ),
    _memory("sets_of_all_events", "counts > 0.5", "counts > -0.5"),
    _memory("root_forgotten", "y = y + ops.sum(root * ops.sqrt(w), axis=1)", "y = y + 0"),
    _model(
        "history_in_the_network_s_output",
        "memory",
        "models/with_memory.py",
        "scores[..., count + length :]",
        "scores[..., count:]",
        f"{_TESTS}/models/test_memory.py",
    ),
    _model(
        "network_learns_touched_items",
        "memory",
        "objectives.py",
        "Output(alone, _ALONE, truth=_new_items)",
        "Output(alone, _ALONE)",
        "tests/pipelines/training/test_training_batches.py",
    ),
    Fault(
        "pair_of_another_item",
        "memory",
        f"{_LAYERS}/pair_table.py",
        "is_hit = ops.equal(ids, ops.cast",
        "is_hit = ops.equal(ids, ids) | ops.equal(ids, ops.cast",
        (f"{_LAYER_TESTS}/test_log_memory.py",),
    ),
)
