"""Exported models on a GPU: times of ONNX's own operators, of a Scan and of a linear recurrence, against torch."""
