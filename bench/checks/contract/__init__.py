"""The contract of models: checks that raise an explained error, for tests and `check-model`."""
