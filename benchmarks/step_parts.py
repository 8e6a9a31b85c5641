"""A training step, split into parts that can be timed by themselves."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf
from workload import signature

from hmar_keras import HMAR
from hmar_keras.models.hmar import CandidateItems
from hmar_keras.schema import BEHAVIOR, BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS


class StepParts:
    """The parts of a compiled, built `HMAR` with one block of each encoder.

    Every part is a `tf.function`; the parts with layers run forward and backward, in training mode.

    Args:
        model: the model.
        batch: any batch, for its structure.
    """

    def __init__(self, model: HMAR, batch: tuple[dict, dict]):
        self._model = model
        self._backbone = model.backbone
        self.forward = tf.function(self._losses, signature(batch))
        self.gradients = tf.function(self._gradients, signature(batch))
        self.update = _function(
            lambda gradients: model.optimizer.apply(gradients, model.trainable_variables)
        )

    def jobs(self, batches: list[tuple[dict, dict]]) -> dict[str, tuple[Callable, list]]:
        """Returns the parts and their calls on `batches`, named as in `roofline.training_work`."""
        embedded, encoded, states = [], [], []
        for inputs, _ in batches:
            items, behaviors = inputs[ITEM_IDS], inputs[BEHAVIOR_IDS]
            embedded.append(self._embed(items, behaviors))
            encoded.append(self._encode_behaviors(embedded[-1], behaviors))
            states.append(self._encode_sequence(encoded[-1], embedded[-1], items))
        ids = [(inputs[ITEM_IDS], inputs[BEHAVIOR_IDS]) for inputs, _ in batches]
        behavior_calls = [(x, ids[i][1]) for i, x in enumerate(embedded)]
        sequence_calls = [(x, embedded[i], ids[i][0]) for i, x in enumerate(encoded)]
        head_calls = [(x, *batches[i]) for i, x in enumerate(states)]
        return {
            "items and positions": (self._both_ways(self._embed), ids),
            "behaviour encoder": (self._both_ways(self._encode_behaviors), behavior_calls),
            "sequence encoder": (self._both_ways(self._encode_sequence), sequence_calls),
            "heads and losses": (self._both_ways(self._heads), head_calls),
            "optimiser": (self.update, [(self.gradients(*batch),) for batch in batches]),
        }

    def _losses(self, inputs, targets):
        outputs = self._model(inputs, training=True)
        return self._model.compute_loss(inputs, targets, outputs)

    def _gradients(self, inputs, targets):
        with tf.GradientTape() as tape:
            loss = self._losses(inputs, targets)
        return tape.gradient(loss, self._model.trainable_variables)

    def _both_ways(self, part):
        def run(*arguments):
            floats = [x for x in tf.nest.flatten(arguments) if x.dtype.is_floating]
            with tf.GradientTape() as tape:
                tape.watch(floats)
                outputs = part(*arguments)
            return tape.gradient(
                outputs,
                [*floats, *self._model.trainable_variables],
                unconnected_gradients=tf.UnconnectedGradients.NONE,
            )

        return _function(run)

    def _embed(self, item_ids, behavior_ids):
        counts = self._backbone.indicators(item_ids, behavior_ids)
        encoded = self._backbone.item_encoder(item_ids, counts)
        encoded = self._backbone.get_layer("position_embedding")(encoded)
        return self._backbone.get_layer("input_dropout")(encoded, training=True)

    def _encode_behaviors(self, embedded, behavior_ids):
        encoder = self._backbone.get_layer("behavior_encoder_0")
        return encoder(embedded, behavior_ids, training=True)

    def _encode_sequence(self, encoded, embedded, item_ids):
        encoder = self._backbone.get_layer("sequence_encoder_0")
        return encoder(encoded, embedded, item_ids, training=True)

    def _heads(self, states, inputs, targets):
        outputs = self._outputs(states, inputs)
        return self._model.compute_loss(inputs, targets, outputs)

    def _outputs(self, states, inputs):
        encoder = self._backbone.item_encoder
        candidates = inputs[CANDIDATE_IDS]
        counts = self._backbone.indicators(inputs[ITEM_IDS], inputs[BEHAVIOR_IDS], candidates)
        items, first = CandidateItems(encoder)(candidates)
        following = encoder(candidates[:, :, 0], counts[:, :, 0], items=first)
        return {
            "ranking": encoder(candidates, counts, states, items=items),
            "behavior": self._model.get_layer(BEHAVIOR)(states, following),
        }


class NoOptimizer(keras.optimizers.SGD):
    """Has the gradients computed but updates no weight, like a step without its optimiser."""

    def build(self, variables):
        """Creates a variable for the number that it reads."""
        super().build(variables)
        self._seen = self.add_variable((), name="seen")

    def update_step(self, gradient, variable, learning_rate):
        """Reads one number, because TensorFlow does not compute what nothing reads."""
        values = getattr(gradient, "values", gradient)
        self.assign(self._seen, tf.reshape(values, [-1])[0])


def _function(function):
    return tf.function(function, reduce_retracing=True)
