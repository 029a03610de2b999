"""How an answer is worked out, in words: each step of a program and what it finds in the scene."""

from __future__ import annotations

from clevr.questions.programs import CATALOGUE, Node, Program, trace
from clevr.world.scene import Scene, SceneObject


def describe(thing: SceneObject) -> str:
    """An object by all of its attributes."""
    return f"{thing.size} {thing.color} {thing.material} {thing.shape}"


def explain(program: Program, scene: Scene) -> tuple[str, ...]:
    """The steps of a program that narrow something down or answer, each with what it gives.

    Raises:
        IllPosedError: the program has no answer in this scene.
    """
    outputs = trace(program, scene)
    steps = []
    for place, (node, output) in enumerate(zip(program, outputs, strict=True)):
        goes_on = place + 1 < len(program) and program[place + 1].function.startswith("filter_")
        if node.function == "scene" or (node.function.startswith("filter_") and goes_on):
            continue
        kind = CATALOGUE[node.function].output
        if kind == "set" and isinstance(output, tuple):
            found = ", ".join(describe(scene.objects[number]) for number in output) or "nothing"
        elif kind == "object" and isinstance(output, int):
            found = describe(scene.objects[output])
        else:
            found = {True: "yes", False: "no"}[output] if isinstance(output, bool) else str(output)
        steps.append(f"{_step(program, node, place)}: {found}")
    return tuple(steps)


def _step(program: Program, node: Node, place: int) -> str:
    """A step in the words of its functions; filters that follow each other are one step."""
    if not node.function.startswith("filter_"):
        return " ".join([node.function.replace("_", " "), *node.value_inputs])
    values: list[str] = []
    while program[place].function.startswith("filter_"):
        values.insert(0, program[place].value_inputs[0])
        place = program[place].inputs[0]
    return f"filter {' '.join(values)}"
