"""From a trained model to a SavedModel whose inputs and outputs are the catalogue's own names.

    saved_models/NAME/VERSION/
      saved_model.pb, variables/     the graph and one copy of the weights
      assets/items.txt               the vocabulary of items, one per line
      assets.extra/hmar.json         settings, data, results and origin of the model
      assets.extra/model_card.md     the same for human readers
      assets.extra/checksums.json    SHA-256 by file, checked when the export is loaded
      assets.extra/tf_serving_warmup_requests

`saved_models/README.md` describes the signatures.
"""

from pipelines.export.model_card import METADATA
from pipelines.export.saved_model import export, make_temporary

__all__ = ["METADATA", "export", "make_temporary"]
