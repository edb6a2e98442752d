"""Environments: one API over every family, and the pure functions that step many in parallel."""
