"""The embedding, a vector for each token: Bengio et al., "A Neural Probabilistic Language Model", JMLR 3, 2003."""


def embedding(tokens, weight):
    return weight[tokens]
