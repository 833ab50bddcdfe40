"""One recommender a file, discovered by file name; see `bench.registry`. Nothing is imported here."""
