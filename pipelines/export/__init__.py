"""From a trained model to a SavedModel that answers in the catalogue's own names.

    saved_models/NAME/VERSION/
      saved_model.pb, variables/     the graph and one copy of the weights
      assets/items.txt               the vocabulary of items, one a line
      assets.extra/hmar.json         settings, data, results and where the model comes from
      assets.extra/model_card.md     the same for people
      assets.extra/checksums.json    SHA-256 by file, checked when the export is loaded
      assets.extra/tf_serving_warmup_requests

The signatures, by name, are in `saved_models/README.md`.
"""

from pipelines.export.model_card import METADATA
from pipelines.export.saved_model import export, make_temporary

__all__ = ["METADATA", "export", "make_temporary"]
