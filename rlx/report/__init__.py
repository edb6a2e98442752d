"""Statistics, curves and tables from finished runs: NumPy on run folders, nothing of JAX."""
