"""Pure maths of reinforcement learning, one subject a file."""
