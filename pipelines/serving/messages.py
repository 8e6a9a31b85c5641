"""A model's status and metadata as TensorFlow Serving's messages, for both fronts."""

from __future__ import annotations

from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from pipelines.serving.request_error import RequestError
from pipelines.serving.served_model import ServedModel

SIGNATURES = "signature_def"


def check_name(model: ServedModel, name: str) -> None:
    """Checks that the requested model is the one served here.

    Raises:
        RequestError: if it is not.
    """
    if name != model.name:
        raise RequestError(
            "NOT_FOUND", f"no model {name!r} is served here; this server has {model.name!r}."
        )


def model_status(
    model: ServedModel, version: int | None, label: str | None
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of all versions, or of one."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, status in model.statuses(version, label).items():
        told = response.model_version_status.add(version=number, state=status.state)
        told.status.error_code = error_codes_pb2.UNKNOWN if status.error else error_codes_pb2.OK
        told.status.error_message = status.error
    return response


def signature_map(version) -> get_model_metadata_pb2.SignatureDefMap:
    """Returns the signatures of a loaded version."""
    message = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in version.signature_defs.items():
        message.signature_def[name].CopyFrom(definition)
    return message
