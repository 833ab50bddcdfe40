"""Checks: the contract of models, the regression check, and the scaffold of a new model."""
