"""Where the rows of a run go: JSON lines, TensorBoard, Weights & Biases; and what the terminal shows."""
