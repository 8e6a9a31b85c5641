"""Settings of the Apache Beam runner on which a log is prepared.

Beam is an extra, `hmar-keras[beam]`, and is imported only when a log is prepared with it. Only the
`DirectRunner` has been tested, in its running modes `in_memory` and `multi_processing`. Any other
runner receives its flags unchanged, for instance

    DirectRunner    --direct_num_workers=8 --direct_running_mode=multi_processing
    DataflowRunner  --project=P --region=R --temp_location=gs://B/tmp --sdk_container_image=I
    FlinkRunner     --flink_master=HOST:8081 --environment_type=EXTERNAL --environment_config=H:P
    SparkRunner     --spark_master_url=spark://HOST:7077 --environment_type=EXTERNAL ...

The workers need:

- `hmar-keras[beam]` in the same version as here, on the same Python;
- the log and the cache directory under the same paths as here, on a file system that is shared by
  the workers and this machine and supports renaming files: workers leave their results in files in
  the cache directory, and only rows on their way to another worker pass through Beam;
- their own temporary directory, `TMPDIR`, with space for one file of the log.

Each file of the log is read by one worker, so a large log should be split into many files. A
preparation runs one pipeline for reading, one for ordering, one for each round of the rules on rare
items and users, and one for writing; each starts new workers. `DirectRunner` holds the rows that it
groups in memory: if a log fits on one machine, preparing it without Beam needs less memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import re

from pipelines.runtime.errors import InputError

_FAILURES = (  # a pattern in the error of a worker, and what to tell the user
    (r"InputError: (.+)", "{0}"),
    (
        r"((?:No space left|OutOfMemoryException|Disk quota)[^\n]*)",
        "a Beam worker ran out of room ({0}); give it more, or split the log into more files.",
    ),
    (
        r"ModuleNotFoundError: (No module named [^\n]*)",
        "a Beam worker lacks a package ({0}); install hmar-keras[beam] on all workers.",
    ),
    (
        r"((?:No such file or directory|No files found that match)[^\n]*)",
        "a Beam worker cannot find a file ({0}); the log and the cache must be on a file "
        "system that all workers share.",
    ),
)
_STEP = re.compile(r" \[while running .*")


@dataclasses.dataclass(frozen=True)
class BeamSettings:
    """The runner and its flags, as the Beam SDK takes them.

    Args:
        runner: `"DirectRunner"`, `"DataflowRunner"`, `"FlinkRunner"`, `"SparkRunner"`, ...
        options: flags, for instance `("--direct_num_workers=2",)`.
    """

    runner: str = "DirectRunner"
    options: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "options", tuple(self.options))

    def download_config(self) -> dict:
        """Returns the Beam arguments for a `tfds.download.DownloadConfig`.

        Raises:
            InputError: if Beam is not installed, or does not accept the runner or a flag.
        """
        if importlib.util.find_spec("apache_beam") is None:
            raise InputError("Apache Beam is not installed; run pip install 'hmar-keras[beam]'.")
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        usage = io.StringIO()
        try:
            with contextlib.redirect_stderr(usage):
                options = PipelineOptions(list(self.options))
                options.get_all_options()
        except SystemExit as error:
            reason = usage.getvalue().rstrip().rpartition("error: ")[2]
            raise InputError(f"Beam does not accept its options ({reason}).") from error
        try:
            beam.Pipeline(runner=self.runner, options=options)  # checks that they fit together
        except (ValueError, ImportError, AttributeError) as error:
            reason = " ".join(str(error).split()).partition(" Valid values")[0].rstrip(".")
            raise InputError(f"Beam cannot use the runner {self.runner!r} ({reason}).") from error
        return {"beam_runner": self.runner, "beam_options": options}


class BeamPipelines:
    """A factory for the pipelines of a preparation, all on the same runner.

    Args:
        runner: as for `beam.Pipeline`.
        options: the `PipelineOptions`; None for no flags.
    """

    def __init__(self, runner, options=None):
        self._runner = runner
        self._options = options

    def pipeline(self):
        """Returns a new pipeline; as a context manager, it runs to completion on exit."""
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        return beam.Pipeline(runner=self._runner, options=self._options or PipelineOptions([]))


def input_error_of(error: Exception) -> InputError | None:
    """Returns an `InputError` if the user can fix the cause of a pipeline error, else None.

    A runner reports the error of a worker as text.
    """
    text = str(error)
    for pattern, advice in _FAILURES:
        found = re.findall(pattern, text)
        if found:
            return InputError(advice.format(_STEP.sub("", found[-1]).strip()))
    return None
