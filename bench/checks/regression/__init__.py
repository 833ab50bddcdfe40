"""The regression check: a small fixed suite, a baseline of its numbers, and the comparison with it."""
