"""Every setting of a run, each with one owner: the model, the training, or the split of the data.

In files, in `--set` and in a search a setting goes by its name alone; who owns it is found here.
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
# What a model's settings hold that the log says.
OF_LOG = ("num_items", "behaviors", "num_users")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What a run is made with.

    Args:
        name: of the model, as `--model` has it.
        model: the model's own settings.
        training: how it is trained.
        split: what of the data is held out.

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
        """The usual settings of a model, but for some.

        Args:
            num_items: size of the catalogue.
            behaviors: names from weak to strong, and the target.
            model: its name.
            **settings: by name, whoever owns them.

        Raises:
            ValueError: if a setting is unknown or wrong.
        """
        asked = {"num_items": num_items, "behaviors": behaviors, **settings}
        return cls.from_dict({**asked, _MODEL: model})

    @classmethod
    def preset(cls, name: str, num_items: int, behaviors: Behaviors, **settings: Any) -> RunConfig:
        """The settings of a preset, of the model and of its training, but for some.

        Args:
            name: a name in `hmar_keras.PRESETS`.
            num_items: size of the catalogue.
            behaviors: names from weak to strong, and the target.
            **settings: those that differ from the preset, by name.

        Raises:
            ValueError: if there is no such preset, or a setting is unknown or wrong.
        """
        return cls.of(num_items, behaviors, **{**preset_settings(name, behaviors), **settings})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> RunConfig:
        """The reverse of `to_dict`; also reads settings of earlier versions.

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
        """All settings by name, as plain numbers, strings, lists and dicts."""
        owned = {**self.training.to_dict(), **self.split.to_dict()}
        return {_MODEL: self.name, **self.model.to_dict(), **owned}

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with some settings changed; another `model` keeps those that mean the same to it.

        Raises:
            ValueError: if a setting is unknown or its value is out of range.
        """
        kept = shared_settings(self.to_dict(), self.name, changes.get(_MODEL, self.name))
        return RunConfig.from_dict({**kept, **changes})

    def build_model(self, dtype: Any = None) -> SequentialRecommender:
        """The model, with initial weights.

        Args:
            dtype: of its layers, a name or a policy.
        """
        return MODELS[self.name](self.model, dtype)

    def defaults(self) -> dict[str, Any]:
        """What each setting is where nobody says otherwise, by name."""
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
    """The classes of settings of a run of a model, by the names that `RunConfig` has for them.

    Raises:
        ValueError: if there is no such model.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name!r}.")
    return {"model": MODELS[name].Settings, "training": TrainingConfig, "split": SplitConfig}


def setting_names(name: str) -> list[str]:
    """The names of all settings of a run of a model.

    Raises:
        ValueError: if there is no such model.
    """
    return [_MODEL, *(each for owner in owners(name).values() for each in owner.names())]


def shared_settings(settings: Mapping[str, Any], written_for: str, name: str) -> dict[str, Any]:
    """Those settings that mean the same to another model than they were written for.

    A name alone is not enough: a user's model may call a setting of its own the same.

    Args:
        settings: by name.
        written_for: the name of the model that they were written for.
        name: of the other model, or of the same.

    Raises:
        ValueError: if there is no such model.
    """
    before, after = owners(written_for)["model"], owners(name)["model"]
    others = {each for each in after.names() if not after.means_the_same(each, before)}
    shared = set(setting_names(name)) - others
    return {each: value for each, value in settings.items() if each in shared}


def unregistered(settings: Any) -> str | None:
    """The sentence about settings of a model that nothing has registered; None if it is known.

    Args:
        settings: by name, as a file holds them.
    """
    name = settings.get(_MODEL) if isinstance(settings, Mapping) else None
    if not isinstance(name, str) or name in MODELS:
        return None
    return (
        f"it is of the model {name!r}, which nothing has registered; give the file that does: "
        "hmar --import FILE.py."
    )


def _unknown(setting, name, known):
    """The sentence about a setting that nobody owns; maybe another model does."""
    others = [model for model, cls in MODELS.items() if setting in cls.Settings.names()]
    if others:
        return (
            f"{name} has no setting {setting!r}, which is one of {', '.join(others)}; leave it out."
        )
    return unknown_setting(setting, known)
