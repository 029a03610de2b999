"""How eagerly each family is tried, so that all 90 are written equally often.

A family that few scenes can serve (*is there anything else of the same size* needs an object that is
alone in its size) must be tried early wherever it can be. The weights were fitted once, on many
scenes, by ``python -m benchmarks.question_balance --calibrate``, which prints this table.
"""

_ROWS = (
    (0.74, 0.72, 0.73, 0.66, 0.71, 0.96, 0.71, 0.86, 0.92, 0.88),
    (1.87, 0.85, 0.85, 0.79, 0.87, 1.08, 1.29, 1.24, 1.68, 0.85),
    (0.81, 1.00, 0.78, 0.81, 1.09, 0.92, 0.98, 1.25, 1.25, 0.95),
    (1.30, 1.84, 2.08, 1.09, 2.22, 2.08, 3.55, 1.30, 3.74, 1.66),
    (0.82, 1.17, 0.82, 0.85, 0.71, 0.97, 0.72, 0.77, 0.71, 1.03),
    (0.66, 0.77, 0.83, 1.06, 1.07, 3.52, 3.67, 3.68, 1.10, 0.80),
    (1.05, 1.20, 0.89, 1.24, 0.69, 0.67, 0.73, 0.91, 0.67, 0.71),
    (0.72, 0.76, 0.83, 0.82, 0.87, 0.72, 0.83, 0.79, 0.84, 0.89),
    (0.97, 0.75, 0.94, 0.85, 0.66, 0.68, 0.78, 0.80, 0.85, 0.79),
)

FAMILY_WEIGHTS = tuple(weight for row in _ROWS for weight in row)
"""By family number."""
