"""Programs as sequences of actions, in the order in which the words of a question name them when read from its end.

English puts what is modified first: *the cube left of the ball* needs the ball before it can look for the cube. Read
backwards, each word can act at once on a stack of object sets: *ball* puts the balls on it, *left of* turns them into
what is left of them, *cube* keeps the cubes. What is asked is the last action, wherever its words stand.

A run of actions that starts with ``scene``, a move or a join and goes on with filters is a hop: it makes one set of
objects out of no, one or two others. What is asked is the last hop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from clevr.questions.programs import CATALOGUE, Program, ProgramError
from clevr.world.scene import RELATIONS, Scene
from clevr.world.spec import ATTRIBUTES, CLEVR, WorldSpec

MOVES = (*RELATIONS, *(f"same_{attribute}" for attribute in ATTRIBUTES))
"""What leads from an object to others."""
STEPS = ("scene", *MOVES, "union", "intersect")
"""What a hop may begin with; their numbers as actions are their places here plus one, number 0 is no action."""
FUNCTIONS = tuple(name for name, known in CATALOGUE.items() if known.output not in ("set", "object"))
"""What a question may ask: the last function of its program. Their numbers follow."""
COMPARISONS = tuple(name for name in FUNCTIONS if len(CATALOGUE[name].inputs) == 2)
"""Those that compare two sets."""
NUMBERS = {action: number for number, action in enumerate((*STEPS, *FUNCTIONS), 1)}
"""The number of each of these actions."""
FIRST_FILTER = 1 + len(NUMBERS)
"""The number of the action that filters by a world's first value; those of its other values follow."""


def filters_of(world: WorldSpec = CLEVR) -> tuple[tuple[str, str], ...]:
    """Attribute and value of each filter, in the order of their numbers."""
    return tuple((attribute, value) for attribute in ATTRIBUTES for value in world.values[attribute])


def num_actions(world: WorldSpec = CLEVR) -> int:
    """How many actions there are."""
    return len(NUMBERS) + len(filters_of(world))


def actions_about(attribute: str, world: WorldSpec = CLEVR) -> tuple[int, ...]:
    """The numbers of all actions that speak of an attribute: its filters, and what asks for it or compares it."""
    asking = (number for name, number in NUMBERS.items() if name.endswith(f"_{attribute}"))
    return (*asking, *(number for (name, _), number in _filter_numbers(world).items() if name == attribute))


def action_names(actions: Sequence[int], world: WorldSpec = CLEVR) -> list[str]:
    """Actions in words."""
    names = ("", *NUMBERS, *(value for _, value in filters_of(world)))
    return [names[number] for number in actions]


ActionSequence = tuple[int, ...]
"""Numbers of actions."""

_BACKWARDS = ("shape", "material", "color", "size")
"""The order of filters in a noun phrase that is read from its end."""
_ORDERED = ("less_than", "greater_than")


def action_sequences(program: Program, world: WorldSpec = CLEVR) -> tuple[ActionSequence, ...]:
    """Every sequence of actions by which the words of a question may tell this program, what it asks at the end.

    There are several where the order of two sets does not matter: either may be told first.

    Args:
        program: any program of CLEVR.
        world: whose values it filters by.
    """
    last = program[-1]
    ends = [program[number].inputs[0] if last.function in COMPARISONS else number for number in last.inputs]
    found: dict[ActionSequence, None] = {}
    for sets in product(*(_sequences(program, number, world) for number in ends)):
        for order in (sets[::-1],) if last.function in _ORDERED else (sets[::-1], sets):
            found[sum((*order, (NUMBERS[last.function],)), ())] = None
    return tuple(found)


def _sequences(program: Program, number: int, world: WorldSpec) -> list[ActionSequence]:
    """Those that lead to a node that gives objects."""
    told: dict[str, str] = {}
    node = program[number]
    while node.function == "unique" or node.function.startswith("filter_"):
        if node.value_inputs:
            told[node.function.removeprefix("filter_")] = node.value_inputs[0]
        node = program[node.inputs[0]]
    number_of = _filter_numbers(world)
    filters = tuple(number_of[name, told[name]] for name in _BACKWARDS if name in told)
    before = [_sequences(program, source, world) for source in node.inputs]
    if len(before) == 2:
        orders = [order for sets in product(*before) for order in (sets[::-1], sets)]
        join = (NUMBERS[node.function],)
        between = node.function == "intersect"
        return [(*a, *join, *b, *filters) if between else (*a, *b, *join, *filters) for a, b in orders]
    action = NUMBERS[node.value_inputs[0] if node.function == "relate" else node.function]
    return [(*sequence, action, *filters) for sequence in (before[0] if before else [()])]


@lru_cache(maxsize=8)
def _filter_numbers(world: WorldSpec) -> Mapping[tuple[str, str], int]:
    return {known: number for number, known in enumerate(filters_of(world), FIRST_FILTER)}


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a question: a set of objects out of others, or at the end the answer."""

    actions: ActionSequence
    """What it does: ``scene``, a move, a join or what is asked; then its filters."""
    reads: tuple[int, ...]
    """Places of the hops whose sets it reads."""


def hops_of(actions: Sequence[int]) -> tuple[Hop, ...]:
    """The hops of a sequence of actions; the last one gives the answer.

    ``intersect`` stands between its two sets, as *and* does, and takes effect once the second has made its first move.
    Any sequence has a meaning, so that a reader's slips do not stop it: what has nothing to act on acts on the whole
    scene, a join without two sets is left out, sets that are left over are intersected.

    Args:
        actions: numbers of actions, zeros among them are passed over.

    Raises:
        ProgramError: nothing is asked.
    """
    machine = _Machine()
    for number in actions:
        if number:
            machine.act(number)
    return machine.finish()


_SAID = {"front": "in front of {}", "behind": "behind {}", "union": "{} or {}", "intersect": "{} and {}"}


def in_words(hops: Sequence[Hop], world: WorldSpec = CLEVR) -> tuple[str, ...]:
    """Every hop as a short text that names those that it reads by their numbers, from 1.

    *How many red cubes are left of the big ball?* gives ``large sphere``, ``left of 1: red cube``, ``count of 2``.
    """
    known = filters_of(world)
    texts = list[str]()
    for hop in hops:
        step, *filters = hop.actions
        name = (*STEPS, *FUNCTIONS)[step - 1]
        told = " ".join(value for _, value in (known[number - FIRST_FILTER] for number in sorted(filters)))
        numbers = [str(place + 1) for place in hop.reads]
        if name == "scene":
            texts.append(told or "all")
            continue
        pattern = _SAID.get(name) or (f"the {name.replace('_', ' ')} as {{}}" if name in MOVES[4:] else "")
        pattern = pattern or f"{name.replace('_', ' ')} of {' and '.join('{}' for _ in numbers)}"
        texts.append(pattern.format(*numbers) + (f": {told}" if told else ""))
    return tuple(texts)


class _Machine:
    """A stack of sets, each known by the place of its hop."""

    def __init__(self) -> None:
        self.hops = list[tuple[list[int], tuple[int, ...]]]()
        self.stack = list[int]()
        self.pending = 0  # height of the stack at an `intersect` that waits for its second set
        self.asked = 0

    def act(self, number: int) -> None:
        if len(STEPS) < number < FIRST_FILTER:
            self.asked = number
        elif number == NUMBERS["scene"]:
            self._push(number)
        elif number == NUMBERS["intersect"]:
            self.pending = len(self.stack)
        elif number == NUMBERS["union"]:
            self._join(number)
        else:
            self._act_on_top(number)

    def _act_on_top(self, number: int) -> None:
        if not self.stack:
            self._push(NUMBERS["scene"])
        if number >= FIRST_FILTER:
            told = self.hops[self.stack[-1]][0]
            told.extend([number] * (number not in told))
            return
        self._push(number, self.stack.pop())
        if self.pending and len(self.stack) == self.pending + 1:
            self._join(NUMBERS["intersect"])

    def finish(self) -> tuple[Hop, ...]:
        if not self.asked:
            raise ProgramError(f"the actions ask nothing; expected one of {', '.join(FUNCTIONS)} among them")
        if not self.stack:
            self._push(NUMBERS["scene"])
        count = 2 if FUNCTIONS[self.asked - len(STEPS) - 1] in COMPARISONS else 1
        while len(self.stack) > count:
            self._join(NUMBERS["intersect"])
        reads = tuple(self.stack[: -count - 1 : -1])
        return (*(Hop(tuple(told), reads) for told, reads in self.hops), Hop((self.asked,), reads))

    def _push(self, number: int, *reads: int) -> None:
        self.hops.append(([number], reads))
        self.stack.append(len(self.hops) - 1)

    def _join(self, number: int) -> None:
        if len(self.stack) > 1:
            second, first = self.stack.pop(), self.stack.pop()
            self._push(number, first, second)
        self.pending = 0


Members = tuple[int, ...]


def follow(hops: Sequence[Hop], scene: Scene) -> list[Members]:
    """The objects that every hop but the last arrives at, sorted.

    Args:
        hops: from :func:`hops_of`.
        scene: what they are followed in.
    """
    found, known = list[Members](), filters_of(scene.world)
    for hop in hops[:-1]:
        first, *filters = hop.actions
        members = _ARRIVE[STEPS[first - 1]](scene, *(set(found[place]) for place in hop.reads))
        wanted = [known[number - FIRST_FILTER] for number in filters]
        kept = (i for i in members if all(getattr(scene.objects[i], name) == value for name, value in wanted))
        found.append(tuple(sorted(kept)))
    return found


def _related(relation: str) -> Callable[..., set[int]]:
    return lambda scene, members: {other for index in members for other in scene.relationships[relation][index]}


def _same(attribute: str) -> Callable[..., set[int]]:
    def arrive(scene: Scene, members: set[int]) -> set[int]:
        values = [getattr(thing, attribute) for thing in scene.objects]
        return {other for index in members for other, value in enumerate(values) if value == values[index]} - members

    return arrive


_ARRIVE: dict[str, Callable[..., set[int]]] = {
    "scene": lambda scene: set(range(len(scene.objects))),
    "union": lambda _, first, second: first | second,
    "intersect": lambda _, first, second: first & second,
    **{relation: _related(relation) for relation in RELATIONS},
    **{f"same_{attribute}": _same(attribute) for attribute in ATTRIBUTES},
}
