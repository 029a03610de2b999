"""Referring expressions: which object is meant, answered by its box.

Source:
    Liu et al., "CLEVR-Ref+", CVPR 2019, https://arxiv.org/abs/1901.00850, for the task; the phrases are those of CLEVR.
"""

from __future__ import annotations

from clevr.questions.logical_form import unique_program
from clevr.tasks.item import Draft
from clevr.tasks.kinds.phrasing import draw_shape, words
from clevr.tasks.trial import Trial
from clevr.tasks.working import explain


def referring(trial: Trial) -> Draft | None:
    """Find one object by what is said of it."""
    hops = trial.difficulty.draw_hops(trial.plan)
    scene = trial.scene()
    named = trial.phrases(scene).named(draw_shape(trial, hops))
    if named is None:
        return None
    program = unique_program(named.things)
    return Draft(
        scenes=(scene,),
        prompt=(
            f"Find {words('the', named.things, trial.draw)}. Give the bounding box of what can be seen of it, in "
            f"pixels, as [left, top, right, bottom]; the image is {trial.width} pixels wide and {trial.height} high."
        ),
        answer="",
        answer_type="box",
        working=explain(program, scene),
        program=program,
        target=named.object,
    )
