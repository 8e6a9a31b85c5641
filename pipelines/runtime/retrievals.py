"""How an exported model finds the best items: names for `hmar export --retrieval`.

product        one product with the item table scores every item
brute_force    TensorFlow Recommenders' layers find candidates, which are then scored exactly
streaming      the same, block by block
"""

from __future__ import annotations

from pipelines.runtime.errors import InputError

PRODUCT, BRUTE_FORCE, STREAMING = "product", "brute_force", "streaming"
RETRIEVALS = (PRODUCT, BRUTE_FORCE, STREAMING)


def check_retrieval(name: str) -> None:
    """Checks the name of a retrieval.

    Raises:
        InputError: if it is unknown.
    """
    if name not in RETRIEVALS:
        raise InputError(f"--retrieval must be one of {', '.join(RETRIEVALS)}, got {name}.")
