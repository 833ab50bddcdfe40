"""Recommenders, one per file, discovered by file name; see `bench.engine.registry`. Imports nothing."""
