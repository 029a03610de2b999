"""Slow second opinion on tasks: works on the JSON records of scenes and on the text of the prompt, with plain loops.

Shares no code with ``clevr``. Relations are worked out from coordinates: an object is left of another where it lies
more than 0.2 further along the direction *left* of the scene (Johnson et al., "CLEVR", CVPR 2017, and the defaults of
its generator). A program is run from its last node by recursion.
"""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]
Thing = dict[str, Any]

FURTHER = 0.2


class NotOneObjectError(Exception):
    """A phrase in the singular fits no object, or several."""


def things_of(scene: Record) -> list[Thing]:
    """The objects of a scene; each with how far it lies along every direction."""
    things = []
    for entry in scene["objects"]:
        thing = {name: entry[name] for name in ("size", "color", "material", "shape")}
        for name in ("left", "right", "front", "behind"):
            thing[name] = 0.0
            for along, axis in zip(entry["3d_coords"], scene["directions"][name], strict=True):
                thing[name] += along * axis
        things.append(thing)
    return things


def in_relation(thing: Thing, relation: str, other: Thing) -> bool:
    """Whether a thing is left of, right of, in front of or behind another one."""
    return bool(thing[relation] - other[relation] > FURTHER)


def run(program: list[Record], things: list[Thing], at: int | None = None) -> Any:
    """The output of node ``at``, by default the last: things, one thing, or an answer."""
    node = program[len(program) - 1 if at is None else at]
    inputs = [run(program, things, number) for number in node["inputs"]]
    name, *value = node["function"], *node["value_inputs"]
    if name == "scene":
        return list(things)
    if name == "unique":
        return only(inputs[0])
    if name == "relate":
        return [thing for thing in things if in_relation(thing, value[0], inputs[0])]
    if name == "union":
        return [thing for thing in things if is_among(thing, inputs[0]) or is_among(thing, inputs[1])]
    if name == "intersect":
        return [thing for thing in things if is_among(thing, inputs[0]) and is_among(thing, inputs[1])]
    if name == "count":
        return len(inputs[0])
    if name == "exist":
        return len(inputs[0]) > 0
    if name == "less_than":
        return inputs[0] < inputs[1]
    if name == "greater_than":
        return inputs[0] > inputs[1]
    verb, attribute = name.split("_")
    if verb == "filter":
        return [thing for thing in inputs[0] if thing[attribute] == value[0]]
    if verb == "query":
        return inputs[0][attribute]
    if verb == "same":
        return [thing for thing in things if thing is not inputs[0] and thing[attribute] == inputs[0][attribute]]
    assert verb == "equal"
    return inputs[0] == inputs[1]


def only(things: list[Thing]) -> Thing:
    """The one thing of a list that has one."""
    if len(things) != 1:
        raise NotOneObjectError(len(things))
    return things[0]


def is_among(thing: Thing, things: list[Thing]) -> bool:
    """Whether a list has this very thing, not just one that looks the same."""
    return any(thing is other for other in things)


def spelt(value: Any) -> str:
    """An answer as a task states it."""
    if value is True or value is False:
        return "yes" if value else "no"
    return str(value)


WORDS = {
    "size": {"small": "small", "tiny": "small", "large": "large", "big": "large"},
    "color": {name: name for name in ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")},
    "material": {"rubber": "rubber", "matte": "rubber", "metal": "metal", "metallic": "metal", "shiny": "metal"},
    "shape": {"cube": "cube", "block": "cube", "sphere": "sphere", "ball": "sphere", "cylinder": "cylinder"},
}
ANYTHING = ("thing", "object")
RELATIONS = (
    ("to the left of", "left"),
    ("on the left side of", "left"),
    ("left of", "left"),
    ("to the right of", "right"),
    ("on the right side of", "right"),
    ("right of", "right"),
    ("in front of", "front"),
    ("behind", "behind"),
)


class Reader:
    """Reads noun phrases from the front of a text, and finds what they mean among some things."""

    def __init__(self, text: str, things: list[Thing]) -> None:
        self.rest = text
        self.things = things

    def take(self, *options: str) -> str:
        """Remove the first of some words that the rest begins with; empty if it begins with none."""
        for option in options:
            if self.rest == option or self.rest.startswith(option + " "):
                self.rest = self.rest[len(option) :].lstrip()
                return option
        return ""

    def must(self, *options: str) -> str:
        found = self.take(*options)
        assert found, f"expected one of {options}, found {self.rest!r}"
        return found

    def description(self) -> dict[str, str]:
        """Attribute words up to the noun."""
        told = {}
        while True:
            word = self.rest.split()[0]
            self.rest = self.rest[len(word) :].lstrip()
            singular = word[:-1] if word.endswith("s") and word[:-1] in (*WORDS["shape"], *ANYTHING) else word
            if singular in ANYTHING:
                return told
            (attribute,) = [name for name, known in WORDS.items() if singular in known]
            told[attribute] = WORDS[attribute][singular]
            if attribute == "shape":
                return told

    def phrase(self) -> list[Thing]:
        """The things that a noun phrase names."""
        self.take("the", "another", "a")
        self.take("other")
        told = self.description()
        among = self.modifier()
        return [thing for thing in among if fits(thing, told)]

    def modifier(self) -> list[Thing]:
        """What comes behind a noun: relations, shared attributes, or nothing."""
        self.take("that are", "that is", "that have", "that has")
        self.take("both")
        self.take("made")
        if self.take("of the same", "the same"):
            attribute = self.must(*WORDS)
            self.must("as")
            other = only(self.phrase())
            return [thing for thing in self.things if thing is not other and thing[attribute] == other[attribute]]
        found = self.related()
        if found is None:
            return self.things
        if self.take("and"):
            more = self.related()
            assert more is not None
            return [thing for thing in found if is_among(thing, more)]
        return found

    def related(self) -> list[Thing] | None:
        spoken = self.take(*(words for words, _ in RELATIONS))
        if not spoken:
            return None
        other = only(self.phrase())
        return [thing for thing in self.things if in_relation(thing, dict(RELATIONS)[spoken], other)]


def fits(thing: Thing, told: dict[str, str]) -> bool:
    """Whether a thing has all values that are told; of things that were only described they must be known."""
    for attribute, value in told.items():
        if attribute in thing and thing[attribute] != value:
            return False
    assert all(attribute in thing for attribute in told), f"nobody can say whether {thing} is {told}"
    return True


def questions(prompt: str, program: list[Record], scenes: list[Record], ids: Any) -> str:
    """The answer to a question of CLEVR."""
    return spelt(run(program, things_of(scenes[0])))


def referring(prompt: str, program: Any, scenes: list[Record], ids: Any) -> str:
    """The box around all pixels that show the one object that is named."""
    things = things_of(scenes[0])
    reader = Reader(prompt.split(". ")[0].removeprefix("Find "), things)
    meant = only(reader.phrase())
    assert not reader.rest
    number = [thing is meant for thing in things].index(True)
    rows = [row for row, line in enumerate(ids) if number in line]
    left = min(ids[row].index(number) for row in rows)
    right = max(len(ids[row]) - ids[row][::-1].index(number) for row in rows)
    return f"[{left}, {min(rows)}, {right}, {max(rows) + 1}]"


def arithmetic(prompt: str, program: Any, scenes: list[Record], ids: Any) -> str:
    """The number of things after each sentence was carried out."""
    things = things_of(scenes[0])
    *steps, question = prompt.removesuffix("?").split(". ")
    for step in steps:
        reader = Reader(step.removeprefix("Then ").lower(), [])
        if reader.take("add", "put in", "place"):
            number = int(reader.must("a", *map(str, range(1, 10))).replace("a", "1"))
            told = reader.description()
            things = things + [dict(told) for _ in range(number)]
        else:
            reader.must("take away", "remove", "subtract")
            reader.must("all")
            told = reader.description()
            things = [thing for thing in things if not fits(thing, told)]
        assert not reader.rest
    told = Reader(question.removeprefix("How many "), []).description()
    return str(sum(fits(thing, told) for thing in things))


def counterfactual(prompt: str, program: Any, scenes: list[Record], ids: Any) -> str:
    """What is true after one thing was removed or changed."""
    things = things_of(scenes[0])
    condition, question = prompt.removeprefix("If ").removesuffix("?").split(", ")
    phrase, change = condition.split(" were ")
    reader = Reader(phrase, things)
    meant = only(reader.phrase())
    assert not reader.rest
    if change in ("removed", "taken away"):
        changed = [thing for thing in things if thing is not meant]
    else:
        value = change.removeprefix("made of ").removeprefix("a ")
        (attribute,) = [name for name, known in WORDS.items() if value in known]
        assert meant[attribute] != value
        changed = [{**thing, attribute: value} if thing is meant else thing for thing in things]
    counts = question.startswith("how many ")
    words = question.removeprefix("how many ").removesuffix(" would there be").removeprefix("would there be any ")
    reader = Reader(words, changed)
    found = reader.phrase()
    assert not reader.rest
    return str(len(found)) if counts else spelt(len(found) > 0)


def is_true(sentence: str, things: list[Thing]) -> bool:
    """Whether a sentence is true of some things."""
    reader = Reader(sentence.removesuffix("."), things)
    start = reader.must("There is", "The number of", "There are more", "There are fewer", "There are as many")
    number = len(reader.phrase())
    if start == "There is":
        true = number > 0
    elif start == "The number of":
        reader.must("is")
        true = number == int(reader.must(*map(str, range(11))))
    else:
        reader.must("as" if start == "There are as many" else "than")
        other = len(reader.phrase())
        true = {"more": number > other, "fewer": number < other, "many": number == other}[start.split()[-1]]
    assert not reader.rest
    return true


def matching(prompt: str, program: Any, scenes: list[Record], ids: Any) -> str:
    """The image of which the sentence is true; it is false of the other."""
    sentence = prompt.split("true? ")[1].removesuffix(" Answer first or second.")
    first, second = (is_true(sentence, things_of(scene)) for scene in scenes)
    assert first != second
    return "first" if first else "second"


def odd_one_out(prompt: str, program: Any, scenes: list[Record], ids: Any) -> str:
    """The colour of the only thing that alone lacks what all others have."""
    things = things_of(scenes[0])
    odd = []
    for attribute in ("size", "color", "material", "shape"):
        for thing in things:
            others = [other[attribute] for other in things if other is not thing]
            if all(value == others[0] for value in others) and thing[attribute] != others[0]:
                odd.append(thing)
    return str(only(odd)["color"])


ANSWERS = {
    "questions": questions,
    "closure": questions,
    "counting": questions,
    "referring": referring,
    "arithmetic": arithmetic,
    "counterfactual": counterfactual,
    "matching": matching,
    "odd_one_out": odd_one_out,
}
"""By kind of task."""


def answer(
    task: str, prompt: str, program: list[Record] | None, scenes: list[Record], ids: list[list[int]] | None = None
) -> str:
    """The true answer of a task; ``ids`` says which object each pixel of the first image shows, row by row."""
    return ANSWERS[task](prompt, program, scenes, ids)
