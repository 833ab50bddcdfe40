"""Experiments: plans, tasks, workers, records, caches. Writes the results directory."""
