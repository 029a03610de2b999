"""How eagerly each family is tried, so that all 90 are written equally often.

A family that few scenes can serve (*is there anything else of the same size* needs an object that is
alone in its size) must be tried early wherever it can be. The weights were fitted once, on many
scenes, by ``python -m benchmarks.question_balance --calibrate``, which prints this table.
"""

_ROWS = (
    (0.79, 0.87, 0.76, 0.73, 0.76, 0.87, 0.78, 0.88, 0.86, 0.88),
    (1.89, 0.95, 0.90, 0.91, 0.82, 1.14, 1.22, 1.18, 1.36, 0.98),
    (0.96, 1.10, 0.99, 0.88, 1.17, 0.89, 1.02, 1.35, 1.11, 1.02),
    (1.19, 1.68, 1.42, 1.13, 1.33, 1.20, 3.56, 1.29, 4.03, 1.84),
    (0.93, 1.16, 0.92, 0.93, 0.79, 1.03, 0.81, 0.74, 0.78, 1.06),
    (0.70, 0.75, 0.92, 1.12, 1.05, 2.11, 2.08, 1.85, 1.08, 0.81),
    (0.95, 1.10, 0.90, 1.05, 0.75, 0.67, 0.78, 0.91, 0.83, 0.67),
    (0.75, 0.75, 0.93, 0.86, 0.98, 0.79, 0.85, 0.87, 0.90, 0.86),
    (0.94, 0.89, 0.92, 0.87, 0.66, 0.85, 0.80, 0.87, 0.82, 0.90),
)

FAMILY_WEIGHTS = tuple(weight for row in _ROWS for weight in row)
"""By family number."""
