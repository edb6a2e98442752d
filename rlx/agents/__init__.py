"""One file an agent; each reads top to bottom beside its paper."""
