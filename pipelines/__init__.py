"""Datasets, training, evaluation, export, serving and the command line around `hmar_keras`."""
