"""One ring for experience; how indices are drawn from it and what is read at them are functions beside it."""
