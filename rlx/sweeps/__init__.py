"""Sweeps: spaces of configurations, drawn, grouped into programs, run by an engine, searched and told in tables."""
