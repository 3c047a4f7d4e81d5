"""Faces to draw lines with, by families."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from random import Random

from ocrformer.training.fonts import Face, FontError


class FontBook:
    """Faces grouped by family, so that a family with many weights is not drawn more often for it."""

    def __init__(self, faces: Sequence[Face]) -> None:
        if not faces:
            raise FontError("no font faces to draw from")
        families: dict[str, list[Face]] = defaultdict(list)
        for face in faces:
            families[face.family].append(face)
        self._by_name = families
        self._fitting: dict[tuple[str, int], list[Face]] = {}
        self._families = list(families.values())
        self._cumulative = list(itertools.accumulate(len(members) ** 0.5 for members in self._families))

    def draw(self, rng: Random) -> Face:
        """A random face."""
        return rng.choice(rng.choices(self._families, cum_weights=self._cumulative)[0])

    def sibling(self, rng: Random, face: Face) -> Face | None:
        """Another face of the same family that draws at least the same characters, if there is one."""
        others = self._others(face)
        return rng.choice(others) if others else None

    def _others(self, face: Face) -> list[Face]:
        """All of them; a family may have a hundred faces, so that they are looked through once."""
        key = face.path, face.index
        if key not in self._fitting:
            self._fitting[key] = [other for other in self._by_name[face.family] if _may_stand_beside(face, other)]
        return self._fitting[key]


def _may_stand_beside(face: Face, other: Face) -> bool:
    return (
        other is not face
        and other.characters >= face.characters
        and other.syllables == face.syllables
        and other.capitals_only == face.capitals_only
    )
