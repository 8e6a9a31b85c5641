"""Which variants an experiment trains and compares; a new one is one more entry here."""

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
    """A model that is trained.

    Args:
        name: as it stands in tables.
        config: its settings.
    """

    name: str
    config: RunConfig

    @property
    def directory(self) -> str:
        """The name as a part of a path."""
        return directory_name(self.name)


def directory_name(name: str) -> str:
    """A name as a part of a path."""
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def variants(
    suites: Iterable[str], config: RunConfig, own: Iterable[str] = (), num_users: int = 0
) -> list[Variant]:
    """The variants of some suites, the reference first, no settings twice.

    All of them share what is not said to differ: the reference's width, length, learning rate,
    negatives, loss and so on.

    Args:
        suites: names out of `SUITES`.
        config: the reference's settings.
        own: names of the user's models, which the suite `main` trains, too.
        num_users: of the log, for models that read users.

    Raises:
        InputError: if there is no such suite, the reference is not an HMAR, or one of the user's
            models cannot be had or cannot have these settings.
    """
    if config.name != "hmar":
        raise InputError(
            f"an experiment compares variants with HMAR; leave model={config.name} out, the suite "
            "main trains it beside HMAR."
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
        # With theta=0, say, HMAR is already what an ablation would make of it.
        if all(variant.config != other.config for other in found):
            found.append(variant)
    return found


def _others(config):
    """Other models of this package on the same data."""
    sasrec = model_settings("sasrec", config.model.behaviors)
    others = {"SASRec": {**sasrec, "input_behaviors": "target"}}
    if config.model.num_behaviors > 1:
        others["SASRec, all behaviours"] = {**sasrec, "input_behaviors": "all"}
    gsasrec = model_settings("gsasrec", config.model.behaviors)
    others["gSASRec, all behaviours"] = {**gsasrec, "input_behaviors": "all"}
    return others


def _own(names, num_users, config, others):
    """The user's models, under the names of their classes where these are free."""
    own = {}
    for name in names:
        if fault := unregistered({"model": name}):
            raise InputError(f"one variant cannot be had: {fault}")
        taken = {directory_name(title) for title in (*others, *own)}
        title = MODELS[name].__name__
        title = name if directory_name(title) in taken else title
        own[title] = model_settings(name, config.model.behaviors)
        if "num_users" in MODELS[name].Settings.names():
            own[title] = {**own[title], "num_users": num_users}
    return own


def _ablations(config):
    """The paper's Table 4: HMAR without one of its parts; and without what is not the paper's."""
    ablations = {}
    if config.model.num_behaviors > 1:
        ablations["without auxiliary behaviours"] = {"input_behaviors": "target"}
        ablations["without multi-task"] = {"theta": 0.0}
    ablations["without indicators"] = {"indicators": False}
    ablations["without behaviour encoder"] = {"num_behavior_blocks": 0}
    if config.model.num_neighbors:
        ablations["without item neighbours"] = {"num_neighbors": 0}
    return ablations
