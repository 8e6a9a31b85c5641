"""An experiment: trains and evaluates every variant and seed once, even if it is interrupted.

experiment.json     the request: data, reference settings, suites, seeds
runs/NAME-SEED/     a run, as from `hmar train`, with `ranks.npz`: the ranks of the answers
baselines/SEED.npz  the ranks of the answers under the baselines
results.json        the table, rewritten after every run
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.evaluation.baselines import baselines
from pipelines.evaluation.evaluator import Evaluator, Ranks
from pipelines.evaluation.scoring import model_scorer
from pipelines.experiments.comparison import compare
from pipelines.experiments.ranks_file import load_ranks, save_ranks
from pipelines.experiments.suites import Variant, variants
from pipelines.protocol.log_traits import never_returning
from pipelines.protocol.splits import Splits, split
from pipelines.runtime.custom_gradients import gradients_forgotten
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware
from pipelines.storage.artefacts import write_json
from pipelines.training.fit import best_epoch, train
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory
from pipelines.workflow.run_data import source_of

_PARTS = ("validation", "test")


class Experiment:
    """Trains, evaluates and compares the variants of some suites.

    Args:
        path: the experiment's directory.
        request: content of `experiment.json`.
        dataset: the dataset to train on.
        hardware: what to train on.

    Attributes:
        variants: the variants to train, the reference first.
        seeds: seeds of the trainings.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        request: dict,
        dataset: InteractionDataset,
        hardware: Hardware | None = None,
    ):
        self.path = Path(path)
        self.seeds = list(request["seeds"])
        config = RunConfig.from_dict(request["config"])
        self.variants = variants(
            request["suites"], config, request.get("own_models", ()), dataset.num_users
        )
        self._source = source_of(request)
        self._hardware = hardware or Hardware()
        self._splits: Splits = split(dataset, config.split.holdout)
        self._never_returns = never_returning(self._splits)
        self._evaluators: dict[tuple[str, int], Evaluator] = {}

    def run(self, tell: Callable[[str], None]) -> dict:
        """Runs the remaining trainings and evaluations.

        Args:
            tell: called with a line for the user before each training.

        Returns:
            the content of `results.json`.
        """
        total = len(self.variants) * len(self.seeds)
        for seed in self.seeds:
            self._evaluate_baselines(seed)
            for number, variant in enumerate(self.variants):
                done = self.seeds.index(seed) * len(self.variants) + number
                self._check(variant, seed)
                if not self._ranks_path(variant, seed).exists():
                    tell(f"{done + 1}/{total}: {variant.name}, seed {seed}")
                    self._train_and_evaluate(variant, seed)
                    self.write_results()
        return self.write_results()

    def _check(self, variant, seed):
        run = self._run_directory(variant, seed)
        if (run.path / "run.json").exists() and run.config() != variant.config:
            raise InputError(
                f"{run.path} was trained with other settings; choose another --output."
            )

    def _run_directory(self, variant: Variant, seed: int) -> RunDirectory:
        return RunDirectory(self.path / "runs" / f"{variant.directory}-{seed}")

    def _ranks_path(self, variant, seed):
        return self._run_directory(variant, seed).path / "ranks.npz"

    @gradients_forgotten()  # also those of the evaluation
    def _train_and_evaluate(self, variant, seed):
        run = self._run_directory(variant, seed)
        if not (run.path / "run.json").exists():
            run = RunDirectory.create(run.path, {**self._source, "seed": seed}, variant.config)
        # State of earlier trainings in this process must neither matter nor pile up.
        keras.utils.clear_session(free_memory=True)
        model = train(self._splits, variant.config, run, seed, self._hardware)
        scorer = model_scorer(model, self._splits.dataset)
        ranks = {
            f"{part}/{protocol}": each
            for part in _PARTS
            for protocol, each in self._evaluator(part, seed).ranks(scorer).items()
        }
        save_ranks(self._ranks_path(variant, seed), ranks)

    def _evaluator(self, part, seed):
        """Returns one evaluator for all variants, because drawing by popularity takes seconds."""
        if (part, seed) not in self._evaluators:
            splits = self._splits
            trained = splits.dataset.item_ids[splits.training_events()]
            popularity = np.bincount(trained, minlength=splits.dataset.num_items + 1)
            self._evaluators = {key: of for key, of in self._evaluators.items() if key[1] == seed}
            self._evaluators[part, seed] = Evaluator(
                splits.dataset, getattr(splits, part), seed, popularity, self._never_returns
            )
        return self._evaluators[part, seed]

    def _evaluate_baselines(self, seed):
        path = self.path / "baselines" / f"{seed}.npz"
        if path.exists():
            return
        ranks = {}
        scorers = baselines(self._splits)
        for part in _PARTS:
            evaluator = self._evaluator(part, seed)
            for name, scorer in scorers.items():
                for protocol, each in evaluator.ranks(scorer).items():
                    ranks[f"{name}/{part}/{protocol}"] = each
        path.parent.mkdir(exist_ok=True)
        save_ranks(path, ranks)

    def write_results(self) -> dict:
        """Summarises what has been evaluated so far, and writes it to `results.json`."""
        answered = dict(self._answered())
        reference = answered.get(self.variants[0].name, {})
        results = {"reference": self.variants[0].name, "variants": [], "differences": {}}
        trained = {variant.name: variant for variant in self.variants}
        for name, seeds in answered.items():
            results["variants"].append(self._row(name, trained.get(name), seeds))
            shared = [seed for seed in seeds if seed in reference]
            if name != self.variants[0].name and shared:
                results["differences"][name] = compare(
                    *([_of_part(of[seed], "test") for seed in shared] for of in (reference, seeds))
                )
        write_json(self.path / "results.json", results)
        return results

    def _answered(self) -> Iterator[tuple[str, dict[int, dict[str, Ranks]]]]:
        """Yields each evaluated variant and baseline with its ranks by seed."""
        for variant in self.variants:
            paths = {seed: self._ranks_path(variant, seed) for seed in self.seeds}
            found = {seed: load_ranks(path) for seed, path in paths.items() if path.exists()}
            if found:
                yield variant.name, found
        by_name: dict = {}
        for seed in self.seeds:
            path = self.path / "baselines" / f"{seed}.npz"
            for key, ranks in (load_ranks(path) if path.exists() else {}).items():
                name, place = key.split("/", 1)
                by_name.setdefault(name, {}).setdefault(seed, {})[place] = ranks
        yield from by_name.items()

    def _row(self, name, variant, seeds):
        common = self.variants[0].config.to_dict()
        own = variant.config.to_dict() if variant else {}
        return {
            "name": name,
            "trained": variant is not None,
            "changes": {n: v for n, v in own.items() if n not in common or v != common[n]},
            "seeds": [self._entry(variant, seed, ranks) for seed, ranks in seeds.items()],
        }

    def _entry(self, variant, seed, ranks):
        entry = {"seed": seed, "run": None}
        if variant:
            run = self._run_directory(variant, seed)
            history = run.history()
            entry |= {
                "run": str(run.path.relative_to(self.path)),
                "epochs": len(history),
                "best_epoch": best_epoch(history),
                "seconds": round(sum(epoch.get("seconds", 0) for epoch in history), 2),
            }
        for part in _PARTS:
            of_part = _of_part(ranks, part)
            entry[part] = {protocol: each.metrics() for protocol, each in of_part.items()}
        return entry


def _of_part(ranks, part):
    """Returns the ranks of one part by protocol."""
    cut = {tuple(place.split("/")): each for place, each in ranks.items()}
    return {protocol: each for (own, protocol), each in cut.items() if own == part}
