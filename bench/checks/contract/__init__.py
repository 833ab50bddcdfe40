"""What every model must honour, as functions that raise with an explanation, for tests and `check-model`."""
