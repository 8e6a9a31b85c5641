"""Progress of a search on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines.runtime.printable import printable
from pipelines.tuning.trials import Trial, completed


class SearchProgress:
    """A line per finished trial and, on a terminal, a bar over all trials with the best so far.

    Args:
        max_trials: maximum number of trials.
        objective: name of the score.
    """

    def __init__(self, max_trials: int, objective: str):
        self._max_trials = max_trials
        self._objective = objective
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = None

    def __enter__(self):
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, TimeElapsedColumn(), console=self._console)
            self._task = self._bar.add_task("trials", total=self._max_trials)
            self._bar.start()
        return self

    def __exit__(self, *error):
        if self._bar:
            self._bar.stop()

    def show(self, trials: list[Trial], ended: list[Trial]) -> None:
        """Shows the progress of the search.

        Args:
            trials: all trials.
            ended: trials that have ended since the last call.
        """
        best = next(iter(completed(trials)), None)
        for trial in ended:
            self._console.print(printable(self._line(trial, best)), markup=False)
        if self._bar:
            running = [
                f"{trial.trial_id} (epoch {len(trial.history) + 1})"
                for trial in trials
                if trial.status == "running"
            ]
            text = f"running {', '.join(running)}" if running else "trials"
            if best:
                text = f"best {best.score:.4f} (trial {best.trial_id})  {text}"
            done = sum(trial.status != "running" for trial in trials)
            self._bar.update(self._task, completed=done, description=text)

    def _line(self, trial, best):
        begin = f"trial {trial.trial_id}  "
        if trial.status == "failed":
            return f"{begin}failed: {trial.message}"
        values = "  ".join(f"{name} {short(value)}" for name, value in trial.values.items())
        of_best = f"best {best.score:.4f} ({best.trial_id})"
        return f"{begin}{self._objective} {trial.score:.4f}  {of_best}  {values}"


def short(value) -> str:
    """Formats the value of a setting, numbers with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
