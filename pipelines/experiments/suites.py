"""The variants that an experiment trains and compares; add new ones here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from hmar_keras.models import MODELS
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig, unregistered
from pipelines.workflow.settings import model_settings

REFERENCE = "HMAR"
SUITES = ("main", "ablation", "protocol")


@dataclasses.dataclass(frozen=True)
class Variant:
    """A model to train.

    Args:
        name: its name in tables.
        config: its settings.
    """

    name: str
    config: RunConfig

    @property
    def directory(self) -> str:
        """The name as part of a path."""
        return directory_name(self.name)


def directory_name(name: str) -> str:
    """Converts a name to part of a path."""
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def variants(
    suites: Iterable[str], config: RunConfig, own: Iterable[str] = (), num_users: int = 0
) -> list[Variant]:
    """Returns the variants of some suites, the reference first, no settings twice.

    Variants share all settings of the reference that they do not change: width, length, learning
    rate, negatives, loss and so on.

    Args:
        suites: names from `SUITES`.
        config: the reference's settings.
        own: names of custom models, which the suite `main` also trains.
        num_users: number of users in the log, for models that read users.

    Raises:
        InputError: if there is no such suite, the reference is not an HMAR, or a custom model is
            not registered or does not accept these settings.
    """
    if config.name != "hmar":
        raise InputError(
            f"an experiment compares variants with HMAR; leave model={config.name} out, as the "
            "suite main trains it next to HMAR."
        )
    changes = {REFERENCE: {}}
    for suite in suites:
        if suite not in SUITES:
            raise InputError(f"unknown suite {suite!r}; the suites are {', '.join(SUITES)}.")
        if suite == "main":
            changes |= _others(config)
            changes |= _own(own, num_users, config, changes)
        elif suite == "ablation":
            changes |= _ablations(config)
    found: list[Variant] = []
    for name, changed in changes.items():
        try:
            variant = Variant(name, config.replace(**changed))
        except (TypeError, ValueError) as error:
            raise InputError(f"the variant {name} cannot be trained: {error}") from error
        # The reference may already be an ablation, e.g. with theta=0.
        if all(variant.config != other.config for other in found):
            found.append(variant)
    return found


def _others(config):
    """Returns other models of this package, on the same data."""
    sasrec = model_settings("sasrec", config.model.behaviors)
    others = {"SASRec": {**sasrec, "input_behaviors": "target"}}
    if config.model.num_behaviors > 1:
        others["SASRec, all behaviours"] = {**sasrec, "input_behaviors": "all"}
    gsasrec = model_settings("gsasrec", config.model.behaviors)
    others["gSASRec, all behaviours"] = {**gsasrec, "input_behaviors": "all"}
    return others


def _own(names, num_users, config, others):
    """Returns the custom models, named after their classes where these names are free."""
    own = {}
    for name in names:
        if fault := unregistered({"model": name}):
            raise InputError(f"a variant cannot be built: {fault}")
        taken = {directory_name(title) for title in (*others, *own)}
        title = MODELS[name].__name__
        title = name if directory_name(title) in taken else title
        own[title] = model_settings(name, config.model.behaviors)
        if "num_users" in MODELS[name].Settings.names():
            own[title] = {**own[title], "num_users": num_users}
    return own


def _ablations(config):
    """Returns HMAR without one of its parts: the paper's Table 4, and parts beyond the paper."""
    ablations = {}
    if config.model.num_behaviors > 1:
        ablations["without auxiliary behaviours"] = {"input_behaviors": "target"}
        ablations["without multi-task"] = {"theta": 0.0}
    ablations["without indicators"] = {"indicators": False}
    ablations["without behaviour encoder"] = {"num_behavior_blocks": 0}
    if config.model.memory:
        ablations["without memory"] = {"memory": False}
    return ablations
