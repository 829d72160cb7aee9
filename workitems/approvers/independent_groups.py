"""Division of candidates into groups that are independent of each other. Pure.

Two candidates depend on each other if they share a controller (or an identity: a delegate and the delegator, two
delegates of one member). Candidates who all share one controller form one group. A candidate who connects two groups,
for example because two stewards reset the password, is either left out or counts instead of both. Each such choice
gives another set of groups; the best one is found by trying them.
"""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from workitems.approvers.candidates import Candidate, Group


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Candidates who depend on each other and share their dependences. `controllers` are those that others share."""

    candidates: tuple[Candidate, ...]
    controllers: frozenset[uuid.UUID]


def independent_groups(candidates: Sequence[Candidate], *, most: int) -> Iterator[list[Group]]:
    """Yield at least one and at most `most` sets of groups; no two groups of one set depend on each other.

    Usually there is one set. Where more than `most` sets exist, the others are not tried, so that fewer candidates may
    count than could, never more.
    """
    position = {candidate.id: place for place, candidate in enumerate(candidates)}
    clusters = [_Cluster((candidate,), candidate.controllers) for candidate in candidates]
    for chosen in itertools.islice(_choices(clusters), most):
        groups = [Group(tuple(sorted(cluster.candidates, key=lambda one: position[one.id]))) for cluster in chosen]
        yield sorted(groups, key=lambda group: position[group.id])


def largest_independent(candidates: Sequence[Candidate], *, most: int) -> int:
    """Return the number of candidates that can count together."""
    return max(map(len, independent_groups(candidates, most=most)))


def _choices(clusters: Sequence[_Cluster]) -> Iterator[list[_Cluster]]:
    """Yield sets of independent clusters: first those that leave out whoever connects the others."""
    settled: list[_Cluster] = []
    open_parts: list[list[_Cluster]] = []
    for part in _connected(_merged(clusters)):
        shared = frozenset.intersection(*(cluster.controllers for cluster in part))
        if len(part) == 1 or shared:
            settled.append(_together(part, shared))
        else:
            open_parts.append(part)
    if not open_parts:
        yield settled
        return
    part, rest = open_parts[0], [cluster for other in open_parts[1:] for cluster in other]
    connecting = max(part, key=lambda one: sum(not one.controllers.isdisjoint(other.controllers) for other in part))
    others = [cluster for cluster in part if cluster is not connecting]
    for chosen in _choices([*others, *rest]):
        yield [*settled, *chosen]
    free = [cluster for cluster in others if cluster.controllers.isdisjoint(connecting.controllers)]
    for chosen in _choices([*free, *rest]):
        yield [*settled, connecting, *chosen]


def _merged(clusters: Sequence[_Cluster]) -> list[_Cluster]:
    """Merge clusters that depend on the same others; keep only controllers that at least two clusters share."""
    times = Counter(controller for cluster in clusters for controller in cluster.controllers)
    alone: list[_Cluster] = []
    alike: dict[frozenset[uuid.UUID], list[_Cluster]] = {}
    for cluster in clusters:
        shared = frozenset(controller for controller in cluster.controllers if times[controller] > 1)
        if shared:
            alike.setdefault(shared, []).append(cluster)
        else:
            alone.append(_Cluster(cluster.candidates, shared))
    return [*alone, *(_together(part, shared) for shared, part in alike.items())]


def _together(part: Iterable[_Cluster], shared: frozenset[uuid.UUID]) -> _Cluster:
    return _Cluster(tuple(candidate for cluster in part for candidate in cluster.candidates), shared)


def _connected(clusters: Sequence[_Cluster]) -> list[list[_Cluster]]:
    """Return the connected parts of `clusters`, where clusters that share a controller are connected."""
    by_controller: dict[uuid.UUID, list[int]] = {}
    for place, cluster in enumerate(clusters):
        for controller in cluster.controllers:
            by_controller.setdefault(controller, []).append(place)
    parts: list[list[_Cluster]] = []
    seen: set[int] = set()
    for start in range(len(clusters)):
        if start in seen:
            continue
        seen.add(start)
        part, waiting = [], [start]
        while waiting:
            cluster = clusters[waiting.pop()]
            part.append(cluster)
            for controller in cluster.controllers:
                more = [place for place in by_controller.pop(controller, ()) if place not in seen]
                seen.update(more)
                waiting.extend(more)
        parts.append(part)
    return parts
