"""Kinds of questions whose file has no programs, read off their texts."""

from __future__ import annotations

import dataclasses

import numpy as np

from clevr.data.table import QuestionTable
from clevr.questions.parser import parse
from clevr.questions.programs import QUESTION_TYPES, num_hops, question_type


def with_kinds(table: QuestionTable) -> QuestionTable:
    """A table with type, family, hops and length of program where the file says nothing and the text leaves no doubt.

    Questions in CLEVR's English are read back into their meaning. One that has several keeps only what is the same in
    all of them; any other English is left as it is.

    Args:
        table: questions, with programs or without.
    """
    columns = {name: getattr(table, name).copy() for name in ("type", "family", "num_hops", "program_length")}
    for number in np.flatnonzero(table.type < 0):
        meanings = parse(table.texts[int(number)])
        programs = [meaning.program() for meaning in meanings]
        found = {
            "type": {QUESTION_TYPES.index(question_type(program)) for program in programs},
            "family": {family.index for meaning in meanings for family in meaning.families()},
            "num_hops": {num_hops(program) for program in programs},
            "program_length": {len(program) for program in programs},
        }
        for name, values in found.items():
            if len(values) == 1 and columns[name][number] < 0:
                columns[name][number] = values.pop()
    return dataclasses.replace(table, **columns)
