"""The faults that are planted, in the order in which they are run."""

from .data_faults import DATA_FAULTS
from .export_faults import EXPORT_FAULTS
from .model_faults import MODEL_FAULTS
from .protocol_faults import PROTOCOL_FAULTS
from .training_faults import TRAINING_FAULTS

FAULTS = (*MODEL_FAULTS, *PROTOCOL_FAULTS, *TRAINING_FAULTS, *DATA_FAULTS, *EXPORT_FAULTS)
