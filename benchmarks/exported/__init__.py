"""Exported models: what becomes of every cell, how close its results are, and how fast onnxruntime runs it."""
