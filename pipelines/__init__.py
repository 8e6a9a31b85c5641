"""Files, datasets, training, evaluation, export and the command line around `hmar_keras`."""
