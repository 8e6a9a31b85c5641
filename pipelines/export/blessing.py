"""Whether a model is good enough to be published: no worse than the live version.

It is compared with the live version, which is the stable one of a roll-out or else the latest one
under the same name, and with the best baseline, all by `validation_score` of the same validation
questions. The test questions are not used, because publishing is a choice between models.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from pipelines.evaluation.evaluator import FULL, FULL_UNSEEN, Evaluator, validation_score
from pipelines.export.exported_scorer import ExportedScorer
from pipelines.export.model_card import METADATA, parse_metadata
from pipelines.export.rollout import stable_version
from pipelines.protocol.splits import Splits
from pipelines.runtime.errors import InputError
from pipelines.runtime.model_versions import versions

# By protocol and metric, as `Evaluator` gives them.
Results = dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Blessing:
    """The decision whether a model may be published.

    Args:
        blessed: whether the model may be published.
        reasons: sentences with numbers, one for each comparison if it is blessed, otherwise one
            for each that failed.
    """

    blessed: bool
    reasons: list[str]

    def sentence(self) -> str:
        """Returns the decision and its reasons as one sentence."""
        verdict = "blessed" if self.blessed else "not blessed, nothing was written"
        return f"{verdict}: {'; '.join(self.reasons)}."


def bless(
    candidate: Results,
    baselines: dict[str, Results],
    live: Results | None,
    tolerance: float = 0.0,
    gain: float = 0.0,
) -> Blessing:
    """Compares a model with the live version and with the best baseline.

    Args:
        candidate: results of the model on the validation questions.
        baselines: results of each baseline on the same questions.
        live: results of the live version on the same questions, or None if there is none.
        tolerance: how far the score may be below the live version's, as a fraction of the latter.
        gain: how far the score must be above the best baseline's, as a fraction of the latter.
    """
    score = validation_score(candidate)
    others = {name: validation_score(results) for name, results in baselines.items()}
    best = max(others, key=others.__getitem__)
    asked = [(f'the best baseline, "{best}"', others[best], 1 + gain)]
    if live is not None:
        asked.insert(0, ("the live version", validation_score(live), 1 - tolerance))
    passed = [score >= bar * factor for _, bar, factor in asked]
    blessed = all(passed)
    return Blessing(
        blessed, [_reason(score, *a) for a, ok in zip(asked, passed, strict=True) if ok == blessed]
    )


def live_version(
    directory: str | os.PathLike, rollout: str | os.PathLike | None = None
) -> Path | None:
    """Returns the version that a candidate would replace, or None if there is none yet.

    Args:
        directory: directory of the model's versions, `saved_models/NAME`.
        rollout: the output of `hmar rollout`, whose stable version is the live one. Without a
            roll-out, or that label in it, the latest version is.

    Raises:
        InputError: if the roll-out cannot be read, belongs to another model, or its stable version
            is missing.
    """
    directory = Path(directory)
    there = versions(directory)
    stable = stable_version(rollout, directory.name) if rollout is not None else None
    if stable is not None and stable not in there:
        raise InputError(
            f"{directory} has no version {stable}, which is the stable one of {rollout}; give the "
            "directory of all models as --models."
        )
    live = stable if stable is not None else max(there, default=None)
    return None if live is None else there[live]


def live_results(version: Path, candidate: dict, splits: Splits) -> Results:
    """Returns the results of the live version on the candidate's validation questions.

    Its stored results are used if they are for the same questions; otherwise the exported model is
    evaluated again. If the log has only grown, the answers are not in the live version's training
    data, except those of users who had too few events to be held out then; these favour it.

    Args:
        version: directory of the live version.
        candidate: the candidate's content of `hmar.json`, see `questions`.
        splits: splits of the candidate's dataset.

    Raises:
        InputError: if the live version is broken.
    """
    live = read_metadata(version)
    if "validation" in live and questions(live) == questions(candidate):
        return next(iter(live["validation"].values()))  # the model comes before the baselines
    evaluator = Evaluator(splits.dataset, splits.validation, seed=0)  # nothing is sampled
    return evaluator(ExportedScorer(version, splits.dataset), (FULL, FULL_UNSEEN))


def questions(metadata: dict) -> tuple:
    """Returns what distinguishes the validation questions of an export from others."""
    config = metadata.get("config", {})
    return (
        metadata.get("dataset"),
        metadata.get("statistics"),
        metadata.get("fingerprint"),
        metadata.get("questions"),
        config.get("holdout"),
        config.get("behaviors"),
    )


def read_metadata(version: Path) -> dict:
    """Returns the content of an export's `hmar.json`.

    Raises:
        InputError: if it is missing or broken.
    """
    try:
        return parse_metadata(version)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{version / METADATA} cannot be read ({type(error).__name__}); remove that version, "
            "or export without --bless."
        ) from error


def _reason(score, name, bar, factor):
    least = bar * factor
    relation = "is at least the" if score >= least else "is below the"
    asked = "" if factor == 1 else f" (times {factor:g})"
    return f"validation score {score:.4f} {relation} {bar:.4f}{asked} of {name}"
