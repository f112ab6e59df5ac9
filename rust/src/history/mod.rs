//! What predictive nets make of sequences: only what they fail to predict needs to be told (Schmidhuber 1991, 1992).
