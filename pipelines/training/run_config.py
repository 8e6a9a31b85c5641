"""All settings of a run, each with one owner: the model, the training, or the split of the data.

Files, `--set` and searches use the name of a setting alone; this module finds its owner.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hmar_keras.config import ModelConfig
from hmar_keras.earlier_settings import in_this_version
from hmar_keras.models import MODELS, SequentialRecommender
from hmar_keras.presets import preset_settings
from hmar_keras.schema import Behaviors
from hmar_keras.settings import unknown_setting
from hmar_keras.training_config import TrainingConfig
from pipelines.protocol.splits import SplitConfig

_MODEL = "model"
# Settings of a model that come from the log.
OF_LOG = ("num_items", "behaviors", "num_users")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of a run.

    Args:
        name: name of the model, as passed to `--model`.
        model: settings of the model.
        training: settings of the training.
        split: which events are held out.

    Example:

    >>> config = RunConfig.of(100, Behaviors(("view", "buy"), "buy"), dim=8, epochs=3)
    >>> config.model.dim, config.training.epochs, config.replace(epochs=5).training.epochs
    (8, 3, 5)
    """

    name: str
    model: ModelConfig
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)

    @classmethod
    def of(
        cls, num_items: int, behaviors: Behaviors, model: str = "hmar", **settings: Any
    ) -> RunConfig:
        """Returns the default settings of a model, with some of them changed.

        Args:
            num_items: size of the catalogue.
            behaviors: names from weak to strong, and the target.
            model: name of the model.
            **settings: the changes by name, whoever owns them.

        Raises:
            ValueError: if a setting is unknown or wrong.
        """
        asked = {"num_items": num_items, "behaviors": behaviors, **settings}
        return cls.from_dict({**asked, _MODEL: model})

    @classmethod
    def preset(cls, name: str, num_items: int, behaviors: Behaviors, **settings: Any) -> RunConfig:
        """Returns a preset's settings of the model and its training, with some of them changed.

        Args:
            name: a name in `hmar_keras.PRESETS`.
            num_items: size of the catalogue.
            behaviors: names from weak to strong, and the target.
            **settings: the changes by name.

        Raises:
            ValueError: if there is no such preset, or a setting is unknown or wrong.
        """
        return cls.of(num_items, behaviors, **{**preset_settings(name, behaviors), **settings})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> RunConfig:
        """Returns the settings that `to_dict` wrote, in this or an earlier version.

        Raises:
            ValueError: if a setting is unknown, missing or wrong, or there is no such model.
        """
        name = settings.get(_MODEL, "hmar")
        parts = owners(name)
        known = setting_names(name)
        settings = in_this_version(settings, known)
        for each in settings:
            if each not in known:
                raise ValueError(_unknown(each, name, known))
        made = {
            part: owner.from_dict({n: settings[n] for n in owner.names() if n in settings})
            for part, owner in parts.items()
        }
        return cls(name, **made)

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings by name, as plain numbers, strings, lists and dicts."""
        owned = {**self.training.to_dict(), **self.split.to_dict()}
        return {_MODEL: self.name, **self.model.to_dict(), **owned}

    def replace(self, **changes: Any) -> RunConfig:
        """Returns a copy with some settings changed.

        Another `model` keeps the settings that mean the same to it.

        Raises:
            ValueError: if a setting is unknown or its value is out of range.
        """
        kept = shared_settings(self.to_dict(), self.name, changes.get(_MODEL, self.name))
        return RunConfig.from_dict({**kept, **changes})

    def build_model(self, dtype: Any = None) -> SequentialRecommender:
        """Builds the model, with initial weights.

        Args:
            dtype: dtype of the layers, a name or a policy.
        """
        return MODELS[self.name](self.model, dtype)

    def defaults(self) -> dict[str, Any]:
        """Returns the default of each setting that has one, by name."""
        fields = [
            field
            for part in (self.model, self.training, self.split)
            for field in dataclasses.fields(part)
        ]
        return {
            field.name: field.default
            for field in fields
            if field.default is not dataclasses.MISSING
        }


def owners(name: str) -> dict[str, Any]:
    """Returns the classes of a run's settings, by their names in `RunConfig`.

    Args:
        name: name of the model.

    Raises:
        ValueError: if there is no such model.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name!r}.")
    return {"model": MODELS[name].Settings, "training": TrainingConfig, "split": SplitConfig}


def setting_names(name: str) -> list[str]:
    """Returns the names of all settings of a run.

    Args:
        name: name of the model.

    Raises:
        ValueError: if there is no such model.
    """
    return [_MODEL, *(each for owner in owners(name).values() for each in owner.names())]


def shared_settings(settings: Mapping[str, Any], written_for: str, name: str) -> dict[str, Any]:
    """Returns the settings that mean the same to another model.

    The same name is not enough: a custom model may use it for a setting of its own.

    Args:
        settings: settings by name.
        written_for: name of the model that they were written for.
        name: name of the other model; it may be the same.

    Raises:
        ValueError: if there is no such model.
    """
    before, after = owners(written_for)["model"], owners(name)["model"]
    others = {each for each in after.names() if not after.means_the_same(each, before)}
    shared = set(setting_names(name)) - others
    return {each: value for each, value in settings.items() if each in shared}


def unregistered(settings: Any) -> str | None:
    """Returns the error sentence for settings of an unregistered model; None if it is registered.

    Args:
        settings: settings by name, as in a file.
    """
    name = settings.get(_MODEL) if isinstance(settings, Mapping) else None
    if not isinstance(name, str) or name in MODELS:
        return None
    return (
        f"the model {name!r} is not registered; pass the file that registers it: "
        "hmar --import FILE.py."
    )


def _unknown(setting, name, known):
    """Returns the error sentence for a setting without an owner; it may be another model's."""
    others = [model for model, cls in MODELS.items() if setting in cls.Settings.names()]
    if others:
        return f"{setting!r} is a setting of {', '.join(others)}, not of {name}; leave it out."
    return unknown_setting(setting, known)
