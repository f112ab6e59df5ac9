"""The embedding, a table of vectors by token: Bengio et al., "A Neural Probabilistic Language Model", JMLR 2003, section 2."""


def embedding(tokens, weight):
    return weight[tokens]
