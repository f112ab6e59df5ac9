"""Zoneout in evaluation: Krueger et al., "Zoneout: Regularizing RNNs by ... Hidden Activations", ICLR 2017.

The mean of the random choice: a state becomes p times its old value plus 1 - p times its new one. The new h of an LSTM
is computed from the new c before zoneout touches c (their equation for LSTMs).
"""


def zoneout(p, old, new):
    return tuple(p * a + (1.0 - p) * b for a, b in zip(old, new, strict=True))
