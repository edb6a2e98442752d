"""Collecting, the one training loop, evaluation, populations, checkpoints, and the host loop around them."""
