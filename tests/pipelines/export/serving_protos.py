"""Protocol buffers of TensorFlow Serving's text files that tensorflow-serving-api leaves out."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto
_WRAPPED = ".google.protobuf.Int64Value"
_MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": _WRAPPED,
        "batch_timeout_micros": _WRAPPED,
        "max_enqueued_batches": _WRAPPED,
        "num_batch_threads": _WRAPPED,
        "thread_pool_name": ".google.protobuf.StringValue",
        "allowed_batch_sizes": [_FIELD.TYPE_INT64],
        "pad_variable_length_inputs": _FIELD.TYPE_BOOL,
    },
    "PrometheusConfig": {"enable": _FIELD.TYPE_BOOL, "path": _FIELD.TYPE_STRING},
    "MonitoringConfig": {"prometheus_config": ".hmar_test.PrometheusConfig"},
}


def _file():
    file = descriptor_pb2.FileDescriptorProto(
        name="hmar_test.proto", package="hmar_test", syntax="proto3"
    )
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            label = _FIELD.LABEL_REPEATED if isinstance(kind, list) else _FIELD.LABEL_OPTIONAL
            (kind,) = kind if isinstance(kind, list) else (kind,)
            added = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                added.type = kind
    return file


_POOL = descriptor_pool.Default()
_POOL.Add(_file())
BatchingParameters, MonitoringConfig = (
    message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"hmar_test.{name}"))
    for name in ("BatchingParameters", "MonitoringConfig")
)
