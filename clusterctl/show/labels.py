"""Where labels of points go, so that none covers another label or a point.  Plain geometry in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

POINT_RADIUS = 9.0
"""Pixels around a point that stay free."""
DISTANCES = (12.0, 22.0, 36.0, 54.0, 76.0, 102.0, 140.0, 190.0)
"""Pixels between point and label, tried in order."""
COST_OF_DISTANCE = 5.0
"""Covered pixels worth avoiding by one pixel of distance."""
COST_OF_LABEL = 1e6
"""Covered pixels of a point or a line worth avoiding by one covered pixel of another label, which nobody could read."""
ANGLES = (35, -35, 145, -145, 0, 180, 90, -90, 65, -65, 115, -115)
"""Degrees around the point, tried in order: right of it first."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Shared area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def outside(self, other: Box) -> float:
        """Area of this box that lies outside `other`."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(other)

    def nearest(self, point: tuple[float, float]) -> tuple[float, float]:
        """The place in the box that is nearest to `point`."""
        return min(max(point[0], self.left), self.right), min(max(point[1], self.bottom), self.top)


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    within: Box,
    avoid: Sequence[Box] = (),
) -> list[Box]:
    """One box per point, in order: the nearest place that covers nothing, else the one that covers least.

    What is in `avoid` (lines, say) may be covered rather than a point or another label.
    """
    marks = [Box(x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS) for x, y in points]
    placed: list[Box] = []
    for point, size in zip(points, sizes, strict=True):
        tried = [(distance, angle) for distance in DISTANCES for angle in ANGLES]
        candidates = [_beside(point, size, distance, angle) for distance, angle in tried]
        costs = [
            _cost(box, marks, avoid, within)
            + COST_OF_LABEL * sum(box.overlap(other) for other in placed)
            + COST_OF_DISTANCE * distance
            for box, (distance, _) in zip(candidates, tried, strict=True)
        ]
        placed.append(candidates[costs.index(min(costs))])
    return placed


def _cost(box: Box, marks: Sequence[Box], avoid: Sequence[Box], within: Box) -> float:
    covered = sum(box.overlap(other) for other in marks) + sum(box.overlap(other) for other in avoid) / 2
    return covered + 3 * box.outside(within)


def _beside(point: tuple[float, float], size: tuple[float, float], distance: float, angle: float) -> Box:
    """A box of `size` whose nearest side is about `distance` away in the direction `angle`."""
    across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    centre_x = point[0] + across * distance + (size[0] / 2) * round(across)
    centre_y = point[1] + up * distance + (size[1] / 2) * round(up)
    return Box(centre_x - size[0] / 2, centre_y - size[1] / 2, centre_x + size[0] / 2, centre_y + size[1] / 2)
