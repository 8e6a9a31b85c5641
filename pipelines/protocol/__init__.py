"""Who is asked what: held-out events, questions, negatives. no TensorFlow."""
