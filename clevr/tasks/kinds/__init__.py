"""The kinds of tasks, one file for each; :mod:`clevr.tasks.registry` has them by name."""
