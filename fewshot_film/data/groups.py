"""Groups of classes that belong together, such as the leaves below a node of a hierarchy, or an alphabet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["leaves", "members"]
"""How an episode takes its classes from one group: of ``leaves`` all (as many as allowed where there are more),
of ``members`` a drawn number."""


@dataclass(frozen=True)
class ClassGroups:
    """What classes an episode may be made of, where they are not drawn from all of them at once."""

    kind: Kind
    """``leaves`` of a node of a hierarchy (ImageNet in Meta-Dataset), ``members`` of a superclass (Omniglot)."""
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    """Name of every group, and the names of its classes; a class may be in several."""

    def only(self, class_names: Collection[str]) -> ClassGroups | None:
        """The same groups over some of the classes; groups without any fall away, None where all do."""
        kept = set(class_names)
        return self._with((name, [member for member in members if member in kept]) for name, members in self.groups)

    def renamed(self, new_names: Callable[[str], Iterable[str]]) -> ClassGroups | None:
        """The same groups where every class has become one or several others."""
        return self._with(
            (name, [new for member in members for new in new_names(member)]) for name, members in self.groups
        )

    def _with(self, groups: Iterable[tuple[str, list[str]]]) -> ClassGroups | None:
        left = tuple((name, tuple(members)) for name, members in groups if members)
        return ClassGroups(self.kind, left) if left else None


def by_prefix(class_names: Iterable[str]) -> ClassGroups:
    """Groups of classes named ``group/class``, such as Omniglot's alphabets."""
    members: dict[str, list[str]] = {}
    for name in class_names:
        members.setdefault(name.partition("/")[0], []).append(name)
    return ClassGroups("members", tuple((group, tuple(names)) for group, names in members.items()))
