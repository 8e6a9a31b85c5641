"""How well a scorer answers held-out questions, under both protocols side by side.

`sampled`: the answer among 99 random items outside the user's history; the paper's protocol.
`full`: the answer among the whole catalogue.
`full_unseen`: the answer among what the user has not touched; asked only where the answer is new.

Of equal scores the answer's counts as the lowest, and a score that is not finite is never a hit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.input_pipeline import evaluation_candidates, history_arrays, history_items
from pipelines.splits import EvaluationSet

CUTOFFS = (1, 5, 10, 20)
SAMPLED, FULL, FULL_UNSEEN = "sampled", "full", "full_unseen"
_SCORES_AT_ONCE = 1 << 23  # 32 MiB

# Takes questions, gives float32 [questions, num_items + 1] by item id; column 0 is ignored.
Scorer = Callable[[EvaluationSet], np.ndarray]


def validation_score(dataset: InteractionDataset, results: dict) -> float:
    """The one number that training and tuning maximise: NDCG@10 over the whole catalogue.

    Where items do not repeat it is that of `full_unseen`. Where they do it is the mean of `full`
    and `full_unseen`: answers that the user has touched before are so much easier that `full`
    alone would be best after an epoch, before the model knows anything about new items.
    """
    unseen = results[FULL_UNSEEN]["ndcg@10"]
    return (results[FULL]["ndcg@10"] + unseen) / 2 if dataset.repeats else unseen


class Evaluator:
    """Asks every scorer the same questions with the same negatives.

    Args:
        dataset: what the questions are about.
        questions: validation or test.
        seed: of the sampled negatives.
    """

    def __init__(self, dataset: InteractionDataset, questions: EvaluationSet, seed: int):
        self.dataset = dataset
        self.questions = questions
        self.candidates = evaluation_candidates(dataset, questions, seed)

    def __call__(self, scorer: Scorer) -> dict[str, dict[str, float]]:
        """HR and NDCG by protocol: `results["full"]["ndcg@10"]`.

        Beside the metrics stand `questions`, how many were asked, and `candidates`, how many
        items each was asked among (on average, where it varies).
        """
        ranks: dict[str, list] = {SAMPLED: [], FULL: [], FULL_UNSEEN: []}
        sizes: dict[str, list] = {SAMPLED: [], FULL: [], FULL_UNSEEN: []}
        for rows in self._batches():
            questions = self.questions.take(rows)
            scores = scorer(questions)
            for protocol, (rank, size) in self._ranks(questions, rows, scores).items():
                ranks[protocol].append(rank)
                sizes[protocol].append(size)
        return {
            protocol: {
                **_metrics(np.concatenate(ranks[protocol])),
                "candidates": _mean(np.concatenate(sizes[protocol])),
            }
            for protocol in ranks
        }

    def _batches(self) -> Iterator[slice]:
        size = max(1, min(512, _SCORES_AT_ONCE // (self.dataset.num_items + 1)))
        for start in range(0, len(self.questions), size):
            yield slice(start, min(start + size, len(self.questions)))

    def _ranks(self, questions, rows, scores):
        own = np.arange(len(questions))
        positive = scores[own, questions.positives]
        # Everything that is not strictly and finitely below the positive stands above it; the
        # positive itself too, which the "- 1" takes back.
        positive = np.where(np.isfinite(positive), positive, -np.inf)[:, None]
        above = ~(scores < positive)
        if not np.isfinite(scores[:, 1:]).all():
            above |= ~np.isfinite(scores)
        above[:, 0] = False
        candidates = self.candidates[rows]
        sampled = np.take_along_axis(above, candidates, axis=1).sum(axis=1) - 1
        full = above.sum(axis=1) - 1

        seen_rows, seen_items = history_items(self.dataset, questions)
        seen = np.zeros_like(above)
        seen[seen_rows, seen_items] = True
        new = ~seen[own, questions.positives]
        above &= ~seen
        num_items = self.dataset.num_items
        return {
            SAMPLED: (sampled, np.full(len(own), candidates.shape[1])),
            FULL: (full, np.full(len(own), num_items)),
            FULL_UNSEEN: (above.sum(axis=1)[new] - 1, num_items - seen.sum(axis=1)[new]),
        }


def _metrics(ranks):
    metrics = {"questions": len(ranks)}
    for k in CUTOFFS:
        metrics[f"hr@{k}"] = _mean(ranks < k)
        metrics[f"ndcg@{k}"] = _mean(np.where(ranks < k, 1 / np.log2(ranks + 2.0), 0.0))
    return metrics


def _mean(values):
    return float(np.mean(values)) if len(values) else 0.0


def model_scorer(model, dataset: InteractionDataset) -> Scorer:
    """A `Scorer` of an `HMAR` model."""
    import tensorflow as tf

    ids = tf.TensorSpec((None, model.config.max_length), tf.int32)
    score = tf.function(model.score_catalog, input_signature=[ids, ids])

    def scorer(questions):
        return score(*history_arrays(dataset, questions, model.config.max_length)).numpy()

    return scorer
