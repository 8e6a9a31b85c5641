"""A server for development that answers as TensorFlow Serving does, and a client of either.

    server          both fronts, started and ended together
    grpc_service    PredictionService, ModelService and health
    rest_service    the routes under /v1/models, as a WSGI application
    rest_server     runs it, and ends when what was asked is answered
    served_model    the versions of a model: which are live, who is using them
    loaded_version  one version, loaded, and how its signatures are called
    web_page        a page to build a history on, in front of REST
    json_tensors    rows and columns of JSON to tensors and back
    client          asks this server or TensorFlow Serving

One model, one process, Python between the network and the graph: good for a laptop, a test or a
demonstration. What stands in production is TensorFlow Serving itself, on the same directory.
"""

from pipelines.serving.client import Client

__all__ = ["Client"]
