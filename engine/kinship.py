"""Which spec files are best checked by one process: those that extend the same dialects, which are compiled and tried once.

A guess from what the files say, which is quick and may be wrong: it decides who checks a file, never how.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.catalog import Catalog

Spec = tuple[str, str]  # kind, id
_WORD = re.compile(rb"[a-z0-9-]+")
#: what a file costs beyond its bytes, in bytes, and how much quicker facts of models are read than specs are compiled
_EACH, _FACTS = 1500, 0.25
#: a family is at most this part of a process's share, so that the last one does not keep everybody waiting
_PART = 4


def families(catalog: Catalog, specs: Sequence[Spec], count: int) -> list[list[int]]:
    """The places of `specs` in groups for `count` processes, the dearest group first. Each place is in one group."""
    named: dict[bytes, list[int]] = defaultdict(list)  # a dialect -> who says its name, itself too
    dialects = {id.encode() for id in catalog.dialect_ids()}
    weights = []
    for place, (kind, id) in enumerate(specs):
        path = catalog.path(kind, id)
        try:
            text = path.read_bytes() if path is not None else b""
        except OSError:
            text = b""  # told when the file is checked
        weights.append(len(text) * _FACTS if kind == "models" else len(text) + _EACH)
        words = {id.encode()} if kind == "dialects" else dialects.intersection(_WORD.findall(text)) if kind == "providers" else ()
        for word in words:
            named[word].append(place)
        if kind != "dialects":
            named[b" " + id.encode()].append(place)  # a provider and the facts of its models
    limit = sum(weights) / count / _PART
    groups = _joined(sorted(named.values(), key=len), weights, limit)
    return sorted(groups, key=lambda group: -sum(weights[place] for place in group))


def _joined(ties: Sequence[Sequence[int]], weights: Sequence[float], limit: float) -> list[list[int]]:
    """Groups by ties, the narrowest first; a group that would outgrow the limit takes in no more."""
    group_of = {place: [place] for place in range(len(weights))}
    sizes = {id(group): weights[place] for place, group in group_of.items()}
    for tie in ties:
        joined = group_of[tie[0]]
        for place in tie[1:]:
            other = group_of[place]
            if other is joined:
                continue
            if sizes[id(joined)] + sizes[id(other)] > limit:
                joined = other if sizes[id(other)] < sizes[id(joined)] else joined
                continue
            joined += other
            sizes[id(joined)] += sizes[id(other)]
            for moved in other:
                group_of[moved] = joined
    return [sorted(group) for group in {id(group): group for group in group_of.values()}.values()]
