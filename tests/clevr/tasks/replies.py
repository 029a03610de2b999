"""What models write: honest answers of every form, and texts that try to be right whatever is true."""

from __future__ import annotations

HONEST: dict[str, list[tuple[str, str]]] = {
    "number": [
        ("There are 3.", "3"),
        ("three", "3"),
        ("3", "3"),
        ("3.", "3"),
        ("3.0", "3"),
        ("**3**", "3"),
        ("Answer:\n3", "3"),
        ("<answer>3</answer>", "3"),
        ("<answer> There are three cubes. </answer>", "3"),
        ("<think>Is it 2? Or maybe 4.</think> The answer is 3.", "3"),
        (r"So we get \boxed{3}.", "3"),
        (r"$\boxed{\text{three}}$", "3"),
        ("2 + 1 = 3", "3"),
        ("The answer is 3 because 1 + 2 = 3.", "3"),
        ("I see 2 cubes and 1 sphere. So there are 3 in total.", "3"),
        ("There are 2 cubes. There is 1 sphere. So there are 3 things.", "3"),
        ("1. a red cube\n2. a blue ball\n3. a green ball\n\nFinal answer: 3", "3"),
        ("It is not 2 but 3.", "3"),
        ("none", "0"),
        ("There are no cubes.", "0"),
        ("There aren't any.", "0"),
        ("No big red cubes.", "0"),
        ("No, there are three cubes.", "3"),
        ("There are 3 cubes that are not red.", "3"),
        ("There are three, at the left.", "3"),
        ("10", "10"),
        ("The red one is a cube, so I count 3.", "3"),
        ("I'd say 3", "3"),
        ("The answer is 3, because I see 2 cubes and 1 ball.", "3"),
        ("The answer is 3. The cubes are red.", "3"),
        ("I count 3 cubes: one red, one blue and one green.", "3"),
        ("There are 3 (2 cubes and 1 ball).", "3"),
        ("There is a total of three (3) objects.", "3"),
        ("Count: 3", "3"),
        ("Just 3.", "3"),
        ("*3*", "3"),
        ("Answer: 3\nConfidence: 95%", "3"),
        ("I wonder whether the answer is 2 or 3. I count again. The answer is 3.", "3"),
        ("I'm not sure, but the answer is 3.", "3"),
        ("If we add both the answer is 3.", "3"),
        ("I do not think that the answer is 2. The answer is 3.", "3"),
        ("The number is _three_.", "3"),
        ("__3__", "3"),
        ("<b>3</b>", "3"),
        ("<final_answer>3</final_answer>", "3"),
        ("<answer><|begin_of_box|>3<|end_of_box|></answer>", "3"),
        ("2 + 1 -> 3", "3"),
        ("Total → 3", "3"),
        ('{"reasoning": "2 cubes and 1 ball", "answer": 3}', "3"),
        ('```json\n{"answer": "3", "explanation": "2 cubes, 1 ball"}\n```', "3"),
        ("Let me count. Cubes: 2. Spheres: 1. Total: 3", "3"),
    ],
    "boolean": [
        ("Yes", "yes"),
        ("yes, there is.", "yes"),
        ("No, there is no red cube.", "no"),
        ("The answer is **no**", "no"),
        ("False", "no"),
        (r"\boxed{\text{Yes}}", "yes"),
        ("I looked at both cubes. Yes.", "yes"),
        ("No, they are not.", "no"),
        ("No, it isn't of the same color or size.", "no"),
        ("No - that is not correct.", "no"),
        ("The answer is no, the ball is not metal.", "no"),
        ("<answer>No (they are not)</answer>", "no"),
        ("Yes, there are balls that are not red.", "yes"),
    ],
    "color": [
        ("red", "red"),
        ("It's red.", "red"),
        ("_Red_", "red"),
        ('{"answer": "red", "why": "It is behind the blue cube."}', "red"),
        ("Grey", "gray"),
        ("The color of the cube left of the blue sphere is red.", "red"),
        ("The answer is: red", "red"),
        ("The blue sphere is behind the cube.\nThe cube is red.\nAnswer: red", "red"),
    ],
    "shape": [("It's a ball.", "sphere"), ("a block", "cube"), ("cylinder", "cylinder")],
    "size": [("tiny", "small"), ("It is big.", "large")],
    "material": [("shiny metal", "metal"), ("It is made of matte rubber", "rubber")],
    "image": [
        ("The answer is: left", "first"),
        ("The second image.", "second"),
        ("2", "second"),
        ("Image 1", "first"),
        ("first", "first"),
        ("The image on the right", "second"),
    ],
    "box": [
        ("[10, 20, 30, 40]", "[10, 20, 30, 40]"),
        ("The object is at (10, 20), (30, 40).", "[10, 20, 30, 40]"),
        ('{"answer": [10, 20, 30, 40], "object": "cube 3"}', "[10, 20, 30, 40]"),
        ('{"bbox_2d": [10, 20, 30, 40], "label": "cube"}', "[10, 20, 30, 40]"),
        ("<answer>10 20 30 40</answer>", "[10, 20, 30, 40]"),
        ("The answer is [10.0, 20.0, 30.0, 40.0].", "[10, 20, 30, 40]"),
    ],
}
"""Texts with what they say, by type of answer."""

FRAMES = (
    "{0} or {1}",
    "Either {0} or {1}.",
    "{0}, {1}",
    "{0}\n{1}",
    "{1}\n{0}",
    "{0}. {1}.",
    "It is {0}. It is {1}.",
    "It could be {0}. It might be {1}.",
    "The answer is {1}. The answer is {0}.",
    "Answer: {0}. Or maybe {1}.",
    "Answer: {0}\nAnswer: {1}",
    "<answer>{1}</answer><answer>{0}</answer>",
    "<answer>{0} or {1}</answer>",
    r"\boxed{{{1}}} \boxed{{{0}}}",
    '{{"answer": "{0}"}} {{"answer": "{1}"}}',
    '{{"answer": "{0} or {1}"}}',
    '{{"answer": "not {0}"}}',
    r"\boxed{{{0}, {1}}}",
    "Not {0}.",
    "It isn't {0}.",
    "The answer is not {0}.",
    "{0} is wrong.",
    "I don't think that the answer is {0}.",
    "It is not true that the correct answer is {0}.",
    "I doubt the answer is {0}.",
    "The answer is {0}. I do not believe the answer is {0}.",
    "I wonder if the answer is {0}.",
    "The answer is {0}. That is incorrect.",
    "neither {0} nor {1}",
    "anything but {0}",
    "non-{0}",
    "not {1} or {0}",
    "<think>{0}",
    "<think>The answer is {0}</think>",
    "<answer></answer>",
    "",
    "   \n",
    "I cannot tell.",
    "maybe {0}, maybe {1}",
    "{1} and {0}",
    "{0} (or {1})",
    "{0} (maybe {1})",
    "{0}: or is it {1}?",
    "{0}, or not",
    "{0}, maybe not.",
)
"""Texts that hedge, list, deny or say nothing; ``{0}`` is the truth, ``{1}`` another answer of its type."""

ANSWERS = {
    "number": tuple(map(str, range(11))),
    "boolean": ("yes", "no"),
    "color": ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"),
    "shape": ("cube", "sphere", "cylinder"),
    "size": ("large", "small"),
    "material": ("rubber", "metal"),
    "image": ("first", "second"),
}
"""All answers of the types that have few."""

LISTS = ("{}", "The answer is {}.", "<answer>{}</answer>", r"\boxed{{{}}}", "It is one of: {}.")
NUMBERS = (
    "at least {}",
    "{} or more",
    "more than {}",
    "about {}",
    "{}+",
    "-{}",
    "{}.5",
    "{0}{0}7",
    "between {} and 99",
    "{} (or more)",
    "{} cubes or more",
    "{} at least",
    "{} (at least)",
    "{}, give or take",
    "a maximum of {}",
    "minus {}",
    "{} hundred",
    "{} dozen",
    "{} and a half",
    "{} quarters",
    "thirty-{}",
    "ninety {}",
    "not 97 or {}",
    "every number but {}",
)


def dishonest(answer: str, answer_type: str) -> list[str]:
    """Texts for which nobody should get a point, although the truth stands in most of them."""
    if answer_type == "box":
        return _dishonest_boxes(answer)
    others = [other for other in ANSWERS[answer_type] if other != answer]
    texts = [frame.format(answer, other) for frame in FRAMES for other in (others[0], others[-1])]
    for separator in (", ", " ", "\n", ". ", " or ", "/"):
        orders = (ANSWERS[answer_type], ANSWERS[answer_type][::-1], [*others, answer], [answer, *others])
        texts += [frame.format(separator.join(order)) for frame in LISTS for order in orders]
    texts += others + [f"The answer is {other}." for other in others]
    if answer_type == "number":
        texts += [frame.format(answer) for frame in NUMBERS if answer != "0" or "-" not in frame]
    return texts


def _dishonest_boxes(answer: str) -> list[str]:
    left, top, right, bottom = (int(side) for side in answer.strip("[]").split(","))
    width = right - left
    other = f"[{left + 2 * width}, {top}, {right + 2 * width}, {bottom}]"
    return [
        "",
        "I cannot tell.",
        f"{answer} or {other}",
        f"{answer}, {other}",
        f"{other}\n{answer}",
        f"not {answer}",
        f"The answer is {answer}. The answer is {other}.",
        f"<answer>{other}</answer><answer>{answer}</answer>",
        f"<answer>{answer} {other}</answer>",
        rf"\boxed{{{other}}} \boxed{{{answer}}}",
        f"<think>{answer}",
        f"<think>{answer}</think>",
        other,
        f"[{left}, {top}, {right}]",
        f"[{left}, {top}, {right}, {bottom}, {bottom}]",
        f"[{right}, {bottom}, {left}, {top}]",
        f"[{left}, {top}, {left}, {top}]",
        "[0, 0, 320, 240]",
        "[-1e9, -1e9, 1e9, 1e9]",
        "[0, 0, 999999999, 999999999]",
        f"[{left}, {top}, {left + 1}, {top + 1}]",
        "[nan, nan, nan, nan]",
        "[inf, inf, inf, inf]",
        "[0, 0, 0, 0]",
    ]
