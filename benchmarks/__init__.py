"""Experiments that reproduce this project's numbers; each is run by ``python -m benchmarks.NAME``."""
