"""A development server with TensorFlow Serving's API, and a client for both.

    server          both fronts, started and stopped together
    grpc_service    PredictionService, ModelService and health
    rest_service    the routes under /v1/models, as a WSGI application
    rest_server     runs it, and stops once all requests are answered
    served_model    the versions of a model: which are live, who is using them
    loaded_version  one loaded version, and how its signatures are called
    web_page        a page for trying out histories, in front of REST
    json_tensors    rows and columns of JSON to tensors and back
    client          queries this server or TensorFlow Serving

One model, one process, Python between the network and the graph: good for a laptop, a test or a
demonstration. In production, use TensorFlow Serving itself with the same directory.
"""

from pipelines.serving.client import Client

__all__ = ["Client"]
