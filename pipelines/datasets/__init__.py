"""Datasets by name. Importing this package is cheap: TensorFlow is imported when one is loaded."""

from pipelines.datasets.loading import DATASETS, load_dataset

__all__ = ["DATASETS", "load_dataset"]
