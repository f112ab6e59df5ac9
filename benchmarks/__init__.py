"""Speed of rnnrs against torch, onnxruntime and jax: `python -m benchmarks`, or `make bench`."""
