"""Whether a model is good enough to be published: at least as good as what is there already.

It is compared with the live version, which is the stable one of a roll-out or else the latest one
under the same name, and with the best baseline, all by `validation_score` of the same validation
questions. The test questions are not looked at: a choice between models is a choice.
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
    """What was decided.

    Args:
        blessed: whether the model may be published.
        reasons: with numbers, one for each comparison if it is blessed, or else for each that
            failed.
    """

    blessed: bool
    reasons: list[str]

    def sentence(self) -> str:
        """All of it, as one sentence."""
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
        baselines: those of each baseline, on the same questions.
        live: those of the live version on the same questions, or None if there is none.
        tolerance: how much worse than the live version it may be, as a part of that one's score.
        gain: how much better than the best baseline it must be, as a part of that one's score.
    """
    score = validation_score(candidate)
    others = {name: validation_score(results) for name, results in baselines.items()}
    best = max(others, key=others.__getitem__)
    asked = [(f"the best baseline, {best}", others[best], 1 + gain)]
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
    """The version that a candidate would replace, or None if there is none yet.

    Args:
        directory: of the model's versions, `saved_models/NAME`.
        rollout: where `hmar rollout` wrote to; the version that is labelled stable there. Without
            that label, or a roll-out, it is the latest.

    Raises:
        InputError: if the roll-out cannot be read, is of another model, or its stable version is
            not there.
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
    """How the live version answers the candidate's validation questions.

    What was stored with it is taken where it was asked the same questions. Otherwise the exported
    model is asked anew. A log that has only grown asks for nothing that the live version was
    trained on, except of users who had too few events to be held out then; they favour it.

    Args:
        version: directory of the live version.
        candidate: what `hmar.json` will hold for the candidate, see `questions`.
        splits: of the candidate's dataset.

    Raises:
        InputError: if the live version is broken.
    """
    live = read_metadata(version)
    if "validation" in live and questions(live) == questions(candidate):
        return next(iter(live["validation"].values()))  # the model stands before the baselines
    evaluator = Evaluator(splits.dataset, splits.validation, seed=0)  # nothing is sampled
    return evaluator(ExportedScorer(version, splits.dataset), (FULL, FULL_UNSEEN))


def questions(metadata: dict) -> tuple:
    """Returns what tells an export's validation questions from others."""
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
    """What stands in `hmar.json` of an export.

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
    relation = "is at least" if score >= least else "is below"
    asked = "" if factor == 1 else f" times {factor:g}"
    return f"validation score {score:.4f} {relation} {bar:.4f}{asked} of {name}"
