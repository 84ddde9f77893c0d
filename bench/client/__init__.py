"""Our own load, in a process of its own: `python -m bench.client KIND JOB`. See `bench.load`, which starts it."""
