"""One interface over one ring (`rlx.replay.replay`); how entries are drawn, read and written are files beside it."""
