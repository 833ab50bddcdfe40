"""Regression checks: a small fixed suite, what it measured once, and whether the code still gives that."""
