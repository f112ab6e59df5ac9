"""Layer normalisation: Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450, 2016, equations 3 and 4.

The eps under the root is not in the paper; it is PyTorch's, 1e-5.
"""

import numpy as np


def layer_norm(a, weight, bias, eps=1e-5):
    mean = a.mean(axis=-1, keepdims=True)
    variance = ((a - mean) ** 2).mean(axis=-1, keepdims=True)
    return (a - mean) / np.sqrt(variance + eps) * weight + bias
