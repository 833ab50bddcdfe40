"""One recommender a file, discovered by file name; see `bench.engine.registry`. Nothing is imported here."""
