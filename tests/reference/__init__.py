"""Plain NumPy versions of what rnnrs computes, in float64, written from the papers' equations and nothing else."""
