"""The evaluation protocol, without TensorFlow: held-out events, questions and negatives."""
