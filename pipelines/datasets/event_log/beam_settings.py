"""On which Apache Beam runner a log is prepared.

Beam is an extra, `hmar-keras[beam]`, and imported only once a log is prepared with it. Tried is the
`DirectRunner` alone, in its running modes `in_memory` and `multi_processing`. Any other runner is
handed its flags as they are, for instance

    DirectRunner    --direct_num_workers=8 --direct_running_mode=multi_processing
    DataflowRunner  --project=P --region=R --temp_location=gs://B/tmp --sdk_container_image=I
    FlinkRunner     --flink_master=HOST:8081 --environment_type=EXTERNAL --environment_config=H:P
    SparkRunner     --spark_master_url=spark://HOST:7077 --environment_type=EXTERNAL ...

What the preparation asks of the workers:

- `hmar-keras[beam]` in the same version as here, on the same Python;
- the log and the cache directory under the same paths as here, on a file system that the workers
  and this machine share and on which a file can be renamed: what workers make lies in files of the
  cache directory, and only rows on their way to another worker travel through Beam;
- a temporary directory of their own, `TMPDIR`, with room for one file of the log.

A file of the log is read by one worker, so a large log should be cut into many. A preparation is a
pipeline for reading, one for ordering, one for each round of the rules on rare items and users,
and one for writing; each starts its workers anew. `DirectRunner` holds the rows that it groups in
memory: where a log fits on one machine, the way without Beam needs less of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import re

from pipelines.runtime.errors import InputError

_FAILURES = (  # what a worker said, and what to do
    (r"InputError: (.+)", "{0}"),
    (
        r"((?:No space left|OutOfMemoryException|Disk quota)[^\n]*)",
        "a worker of Beam ran out of room ({0}); give it more, or cut the log into more files.",
    ),
    (
        r"ModuleNotFoundError: (No module named [^\n]*)",
        "a worker of Beam lacks a package ({0}); install hmar-keras[beam] on all of them.",
    ),
    (
        r"((?:No such file or directory|No files found that match)[^\n]*)",
        "a worker of Beam does not see a file ({0}); the log and the cache must lie on a file "
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
        """The Beam arguments of a `tfds.download.DownloadConfig`.

        Raises:
            InputError: if Beam is not installed, or does not know the runner or a flag's value.
        """
        if importlib.util.find_spec("apache_beam") is None:
            raise InputError("Apache Beam is not installed; pip install 'hmar-keras[beam]'.")
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        usage = io.StringIO()
        try:
            with contextlib.redirect_stderr(usage):
                options = PipelineOptions(list(self.options))
                options.get_all_options()
        except SystemExit as error:
            reason = usage.getvalue().rstrip().rpartition("error: ")[2]
            raise InputError(f"Beam does not take its options ({reason}).") from error
        try:
            beam.Pipeline(runner=self.runner, options=options)  # refuses what does not fit together
        except (ValueError, ImportError, AttributeError) as error:
            reason = " ".join(str(error).split()).partition(" Valid values")[0].rstrip(".")
            raise InputError(f"Beam cannot use the runner {self.runner!r} ({reason}).") from error
        return {"beam_runner": self.runner, "beam_options": options}


class BeamPipelines:
    """Makes the pipelines of a preparation, all of one runner.

    Args:
        runner: as `beam.Pipeline` takes it.
        options: the `PipelineOptions`; None for those of no flag.
    """

    def __init__(self, runner, options=None):
        self._runner = runner
        self._options = options

    def pipeline(self):
        """A new pipeline; as a context, it runs at the end and the context ends when it is done."""
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        return beam.Pipeline(runner=self._runner, options=self._options or PipelineOptions([]))


def input_error_of(error: Exception) -> InputError | None:
    """What the user can mend of an error that a pipeline ended with; None if that is not clear.

    A runner gives the error of a worker as text.
    """
    text = str(error)
    for pattern, advice in _FAILURES:
        found = re.findall(pattern, text)
        if found:
            return InputError(advice.format(_STEP.sub("", found[-1]).strip()))
    return None
