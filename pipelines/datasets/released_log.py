"""The TFDS builder for logs that are released in one or more of the `release_forms`."""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets.event_log.ordered_log import OrderedLog
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.release_forms import AnyOf, CsrForm, EventForm, TextForm


class ReleasedLog(LogBuilder, skip_registration=True):
    """A log in several forms, one per configuration; the first is the default.

    Subclasses set `FORMS`, and `REPEATS`: whether an item that the user already knows may be
    the answer.
    """

    FORMS: ClassVar[dict[str, CsrForm | TextForm | EventForm]]
    REPEATS: ClassVar[bool]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.BUILDER_CONFIGS = [
            tfds.core.BuilderConfig(name=name, description=form.description)
            for name, form in cls.FORMS.items()
        ]
        cls.DEFAULT_BUILDER_CONFIG_NAME = next(iter(cls.FORMS))

    @classmethod
    def sources(cls, config_name) -> SourceFiles | AnyOf:
        """Returns the files of a form."""
        return cls.FORMS[config_name].sources

    def read_log(self, name, files) -> InteractionDataset | OrderedLog:
        """Reads the log in the form of the builder's configuration."""
        form = self.FORMS[self.builder_config.name]
        if isinstance(form, EventForm):
            return form.read(name, files, self.workspace)
        return form.read(name, self.REPEATS, files)

    def expected_counts(self):
        """Returns the counts of the official files."""
        return self.FORMS[self.builder_config.name].expected
