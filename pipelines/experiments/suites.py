"""Which variants an experiment trains and compares; a new one is one more entry here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from hmar_keras.config import HMARConfig
from pipelines.runtime.errors import InputError
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
    config: HMARConfig

    @property
    def directory(self) -> str:
        """The name as a part of a path."""
        return re.sub(r"\W+", "-", self.name.lower()).strip("-")


def variants(suites: Iterable[str], config: HMARConfig) -> list[Variant]:
    """The variants of some suites, the reference first, no settings twice.

    All of them share what is not said to differ: the reference's width, length, learning rate,
    negatives, loss and so on.

    Args:
        suites: names out of `SUITES`.
        config: the reference's settings.

    Raises:
        InputError: if there is no such suite, or the reference is not an HMAR.
    """
    if config.model != "hmar":
        raise InputError(
            f"an experiment compares variants with HMAR; leave model={config.model} out, the suite "
            "main trains it beside HMAR."
        )
    changes = {REFERENCE: {}}
    for suite in suites:
        if suite not in SUITES:
            raise InputError(f"unknown suite {suite!r}; the suites are {', '.join(SUITES)}.")
        if suite == "main":
            changes |= _others(config)
        elif suite == "ablation":
            changes |= _ablations(config)
    found: list[Variant] = []
    for name, changed in changes.items():
        variant = Variant(name, config.replace(**changed))
        # With theta=0, say, HMAR is already what an ablation would make of it.
        if all(variant.config != other.config for other in found):
            found.append(variant)
    return found


def _others(config):
    """Other models of this package on the same data."""
    sasrec = model_settings("sasrec", config.behaviors)
    others = {"SASRec": {**sasrec, "events": "target"}}
    if config.num_behaviors > 1:
        others["SASRec, all behaviours"] = {**sasrec, "events": "all"}
    gsasrec = model_settings("gsasrec", config.behaviors)
    others["gSASRec, all behaviours"] = {**gsasrec, "events": "all"}
    return others


def _ablations(config):
    """The paper's Table 4: HMAR without one of its parts; and without what is not the paper's."""
    ablations = {}
    if config.num_behaviors > 1:
        ablations["without auxiliary behaviours"] = {"events": "target"}
        ablations["without multi-task"] = {"theta": 0.0}
    ablations["without indicators"] = {"indicators": False}
    ablations["without behaviour encoder"] = {"num_behavior_blocks": 0}
    if config.num_neighbors:
        ablations["without item neighbours"] = {"num_neighbors": 0}
    return ablations
