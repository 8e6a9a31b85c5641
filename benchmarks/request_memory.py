"""Memory of the largest requests that `hmar serve` reads: peak growth of this process in MiB.

    python benchmarks/request_memory.py

The bodies are as large as the limit allows and hold whatever takes the most memory once parsed; the
tensors have a few bytes and declare a large shape. Needs Linux.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import peak_memory
from serving_load import MODEL, export_two

from pipelines.runtime.terminal import prepare_keras


def fill(part: str, size: int, before: str = '{"inputs": [', after: str = "0]}") -> bytes:
    """Returns JSON of at most `size` bytes that repeats a part."""
    count = (size - len(before) - len(after)) // (len(part) + 1)
    return (before + (part + ",") * count + after).encode()


def json_bodies(size: int) -> dict[str, bytes]:
    """Returns bodies by what they hold."""
    nested = '{"":' * 500 + "0" + "}" * 500
    return {
        "numbers": fill("12345", size),
        "strings": fill('"ab"', size),
        "lists": fill("[1]", size),
        "objects": fill('{"":0}', size),
        "objects in objects": fill(nested, size),
        "objects, a wide character": fill(nested, size - 20, '{"inputs": ["\U0001f600",'),
    }


def _field(number, content):
    """Encodes a protobuf field that holds bytes."""
    size, varint = len(content), bytearray()
    while True:
        varint.append(size & 127 | (128 if size > 127 else 0))
        size >>= 7
        if not size:
            return bytes([number << 3 | 2]) + bytes(varint) + content


def messages(size: int) -> dict[str, bytes]:
    """Returns `PredictRequest`s by what they hold."""
    count = (size - 200) // 2

    def with_tensor(tensor):
        return _field(1, _field(1, MODEL.encode())) + _field(
            2, _field(1, b"items") + _field(2, tensor)
        )

    return {
        "empty strings": with_tensor(_field(8, b"") * count),
        "axes": with_tensor(_field(2, _field(2, b"") * count)),
        "resources": with_tensor(_field(14, b"") * count),
        "variants": with_tensor(_field(15, b"") * count),
        "inputs": _field(2, _field(1, b"") + _field(2, b"")) * (size // 6),
        "other inputs": b"".join(
            _field(2, _field(1, number.to_bytes(3, "big").hex().encode()) + _field(2, b""))
            for number in range(size // 14)
        ),
    }


def declared(name: str, dtype: int, *sizes: int) -> bytes:
    """Returns a `PredictRequest` of one short value that declares a shape."""
    from pipelines.export.warmup import predict_request

    request = predict_request(MODEL, "recommend", [[("item-1", "view")]])
    tensor = request.inputs[name]
    tensor.Clear()
    tensor.dtype = dtype
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    (tensor.string_val if name == "items" else tensor.int_val).append(
        b"a" if name == "items" else 1
    )
    return request.SerializeToString()


def growth(act: Callable[[], str]) -> tuple[float, str]:
    """Measures by how many MiB the process grows at the peak of `act`; returns its result, too."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or memory that is reused would not count
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is held now
    before = peak_memory()
    told = act()
    return (peak_memory() - before) * 2**10, told


def measure(items: int, size: int) -> dict[str, tuple[float, str]]:
    """Measures growth and returns it with the answer, by request."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    from werkzeug.test import Client

    from pipelines.serving.grpc_service import PredictionService
    from pipelines.serving.rest_service import RestService
    from pipelines.serving.served_model import ServedModel

    class Context:
        def abort(self, code, details):
            raise RuntimeError(code.name)

    with tempfile.TemporaryDirectory() as folder:
        model = ServedModel(export_two(Path(folder), items)[0].parent)
        model.refresh()
        rest, service = Client(RestService(model)), PredictionService(model)

        def over_rest(body):
            return f"HTTP {rest.post(f'/v1/models/{MODEL}:predict', data=body).status_code}"

        def over_grpc(message):
            try:
                service.Predict(predict_pb2.PredictRequest.FromString(message), Context())
            except RuntimeError as error:
                return str(error)
            return "OK"

        requests = {f"JSON, {name}": (over_rest, body) for name, body in json_bodies(size).items()}
        for name, message in messages(size).items():
            requests[f"PredictRequest, {name}"] = over_grpc, message
        string, int32 = tf.string.as_datatype_enum, tf.int32.as_datatype_enum
        large = {
            "items of [1, 30,000,000]": declared("items", string, 1, 30_000_000),
            "k of [400,000,000]": declared("k", int32, 400_000_000),
        }
        for name, message in large.items():
            requests[name] = over_grpc, message
        over_rest(b"{}")
        over_grpc(declared("k", int32, 1))
        return {
            f"{name} ({len(body):,} bytes)": growth(lambda ask=ask, body=body: ask(body))
            for name, (ask, body) in requests.items()
        }


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a line for each, and writes JSON if requested."""
    from pipelines.serving.limits import MAX_BYTES

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--size", type=int, default=MAX_BYTES, help="bytes of a body")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args(arguments)
    prepare_keras(backend="tensorflow")
    results = measure(options.items, options.size)
    for name, (grown, told) in results.items():
        print(f"{grown:8,.0f} MiB  {told:18s} {name}")
    print(f"{np.max([grown for grown, _ in results.values()]):8,.0f} MiB at most")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
