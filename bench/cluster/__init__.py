"""Runs on a Dask cluster: `runs` at this end, `remote` inside the workers."""
