"""TensorRT engines of a model: made, checked against the model's golden outputs, and kept."""
