"""A paper's tables, reproduced: what a table is, how its runs are made, and what is written of them."""
