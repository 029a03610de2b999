"""A few photos per class, from 1 to 20: backbones, heads and FiLM, on the same episodes of every domain of a folder.

    python -m benchmarks.photos run --root photos

`domains` opens the folder, `features` computes and keeps those of frozen backbones, `heads` are what is fitted to
them, `measure` runs the episodes, `experiment` all cells, `film` models with their FiLM and without, `bars` judges
what was measured, `report` and `charts` show it.
"""

from benchmarks.photos.settings import COMMANDS as COMMANDS
