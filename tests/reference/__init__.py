"""Plain NumPy versions of everything rnnrs computes, in float64, written from the papers' equations and from nothing else."""
