"""Small line charts over the coefficient t, drawn as SVG on the server."""

from collections.abc import Sequence
from dataclasses import dataclass

from dynrefer.results import RegionResult

from .photo import view_colour

WIDTH, HEIGHT = 520, 190
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 12, 30
SERIES_COLOURS = ("#6366f1", "#ea580c", "#0d9488", "#db2777", "#65a30d")


@dataclass(frozen=True)
class Point:
    """One value at t in [0, 1]; `mark` is written beside a point that stands out."""

    t: float
    value: float
    colour: str
    mark: str = ""

    def x(self) -> float:
        """Horizontal place in the drawing."""
        return LEFT + self.t * (WIDTH - LEFT - RIGHT)

    def y(self, top: float) -> float:
        """Vertical place in the drawing where `top` is the largest value."""
        return HEIGHT - BOTTOM - self.value / top * (HEIGHT - TOP - BOTTOM)


@dataclass(frozen=True)
class Series:
    """A named line."""

    name: str
    colour: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Chart:
    """Lines over t from 0 to 1, and a vertical axis from 0 to `top`."""

    title: str
    series: tuple[Series, ...]
    top: float
    unit: str = ""

    def ticks(self) -> list[tuple[float, str]]:
        """Vertical places of the horizontal grid lines with their labels."""
        values = [self.top * quarter / 4 for quarter in range(5)]
        return [(Point(0, value, "").y(self.top), f"{value:.3g}{self.unit}") for value in values]

    def steps(self) -> list[tuple[float, str]]:
        """Horizontal places of the labels of t."""
        return [(Point(step / 5, 0, "").x(), f"{step / 5:.1f}") for step in range(6)]


def gain_chart(result: RegionResult) -> Chart | None:
    """Information gain of every candidate view against t, the chosen ones marked with their place in the order."""
    candidates = sorted((view for view in result.views if view.gain is not None), key=lambda view: view.t)
    if not candidates:
        return None
    points = tuple(
        Point(view.t, view.gain or 0.0, view_colour(view.t), "" if view.rank is None else str(view.rank + 1))
        for view in candidates
    )
    top = max(1.0, *(point.value for point in points))
    return Chart("Gain of each candidate view over t", (Series("gain", "currentColor", points),), top)


def sweep_chart(title: str, names: Sequence[str], steps: Sequence[tuple[float, Sequence[float]]]) -> Chart:
    """How the scores (in [0, 1]) of `names` change over t; `steps` are (t, one score a name)."""
    series = [
        Series(name, colour, tuple(Point(t, 100 * scores[place], colour) for t, scores in steps))
        for place, (name, colour) in enumerate(zip(names, SERIES_COLOURS, strict=False))
    ]
    return Chart(title, tuple(series), 100.0, "%")
