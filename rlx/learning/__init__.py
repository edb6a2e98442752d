"""What several agents do alike, as functions that each of them calls."""
