"""Walkers that move under the learned drift, with fading trails, over the density: the frames of a film.

The background is drawn once; in each frame only the walkers, their trails and the clock are new.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import ListedColormap, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fkflow.plot.background import background, density_line
from fkflow.plot.grid import smooth
from fkflow.plot.style import BLUE, MAP, label, mark_nuclei, plane
from fkflow.results.result import Result
from fkflow.text import display_unit

# colours of Okabe and Ito (2008) that are visible on a dark ground, and white
COLOURS = ("#E69F00", "#56B4E9", "#F0E442", "#CC79A7", "#D55E00", "#FFFFFF", "#009E73")
#: the dark part of a map, in few steps: a GIF has few colours for everything
GROUND = ListedColormap(colormaps[MAP](np.linspace(0.0, 0.62, 30)))
#: points of a trail a frame, and steps in which trails fade
POINTS, SHADES = 4, 10
#: most trails, walkers times particles, that can be drawn in time
LINES = 2048
#: inches across a frame: the number of pixels changes the resolution, not the size of letters
WIDTH = 6.4
WORDS = "walkers under the learned drift"


@dataclass(frozen=True)
class Pace:
    """How the imaginary time of the walkers becomes that of the film.

    `count` frames, `fps` a second, with imaginary time `interval` from one to the next.
    """

    interval: float
    fps: int
    count: int

    @property
    def step(self) -> float:
        """Imaginary time between the points of a trail."""
        return self.interval / POINTS

    def points(self, seconds: float) -> int:
        """Points of a trail that lasts so many seconds of film."""
        return POINTS * max(1, round(seconds * self.fps)) + 1


def frames(
    result: Result, positions: Iterator[np.ndarray], pace: Pace, pixels: int, *, chained: bool
) -> Iterator[np.ndarray]:
    """pace.count frames (height, width, 3) uint8, `pixels` wide, of walkers whose `positions` (W, N, D) come every pace.step.

    The walkers move for the length of a trail before the first frame. `chained` particles are drawn in a row, each with its
    displacement.
    """
    first = next(positions)
    walkers, particles, dimensions = first.shape
    kind = Plane if dimensions > 1 else Row if chained and particles > 1 else Strip
    scene = kind(result, walkers, pace, pixels)
    length = pace.points(scene.memory)
    history = deque(itertools.chain([first], itertools.islice(positions, length - 1)), maxlen=length)
    for number in range(pace.count):
        yield scene.frame(np.stack(history), number * pace.interval)
        if number + 1 < pace.count:
            history.extend(itertools.islice(positions, POINTS))


class Scene:
    """A figure in which a few artists move. Subclasses fill it, list these in `moving`, and then call `draw_static`."""

    #: seconds of film that are visible at once
    memory = 1.2

    def __init__(self, result: Result, pace: Pace, pixels: int, shape: float) -> None:
        """A figure `pixels` wide and about `shape` times as high, both even numbers."""
        dpi = pixels / WIDTH
        # half a pixel more: the canvas rounds down
        across, up = ((2 * round(length / 2) + 0.5) / dpi for length in (pixels, pixels * shape))
        self.figure = Figure(figsize=(across, up), dpi=dpi, layout="constrained")
        self.canvas = FigureCanvasAgg(self.figure)
        self.figure.suptitle(textwrap.fill(result.title(), 72), fontsize="medium")
        self.moving: list[Artist] = []
        self.unit = f"ħ/{result.energy_unit}" if display_unit(result.energy_unit) else ""
        self.decimals = max(0, -math.floor(math.log10(pace.interval)))

    def draw_static(self, ax: Axes) -> None:
        """Draw what does not move. The clock is in a corner of `ax`."""
        box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "boxstyle": "round,pad=0.3"}
        self.clock = ax.text(
            0.02, 0.97, "", transform=ax.transAxes, va="top", color="white", fontsize="small", bbox=box, zorder=4
        )
        self.moving.append(self.clock)
        for artist in self.moving:
            artist.set_animated(True)
        self.canvas.draw()
        self.still = self.canvas.copy_from_bbox(self.figure.bbox)

    def show(self, history: np.ndarray) -> None:
        """Move the artists to the walkers' `history` (P, W, N, D), latest last."""
        raise NotImplementedError

    def frame(self, history: np.ndarray, time: float) -> np.ndarray:
        """One frame (height, width, 3) uint8, `time` on its clock."""
        self.show(history)
        self.clock.set_text(f"imaginary time {time:.{self.decimals}f} {self.unit}".rstrip())
        self.canvas.restore_region(self.still)
        for artist in self.moving:
            assert artist.axes is not None
            artist.axes.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


class Trails:
    """Lines that fade towards their past, and dots at their ends."""

    def __init__(self, ax: Axes, tracks: int) -> None:
        colours = _colours(tracks)
        self.lines = _fading_lines(ax, colours, np.linspace(0.08, 0.9, SHADES), 1.3 if tracks <= 16 else 0.8)
        self.dots = _dots(ax, colours)

    def show(self, curves: np.ndarray) -> None:
        """Draw `curves` (T, P, 2), latest point last."""
        ends = np.linspace(0, curves.shape[1] - 1, SHADES + 1).round().astype(int)
        pieces = [curves[:, a : b + 1] for a, b in itertools.pairwise(ends)]
        self.lines.set_segments([line for piece in pieces for line in piece])
        self.dots.set_offsets(curves[:, -1])


class Plane(Scene):
    """Every particle in a plane, over the density there."""

    def __init__(self, result: Result, walkers: int, pace: Pace, pixels: int) -> None:
        ground = background(result)
        self.columns = ground.columns
        first, second = ground.axes
        across, up = ground.high - ground.low
        super().__init__(result, pace, pixels, shape=min(1.2, max(0.5, 0.84 * up / across + 0.17)))
        ax = self.figure.add_subplot()
        box = (first.edges[0], first.edges[-1], second.edges[0], second.edges[-1])
        ax.set_facecolor(GROUND(0.0))
        ax.imshow(ground.values.T, cmap=GROUND, vmin=0, origin="lower", extent=box, interpolation="bicubic")
        mark_nuclei(result, ax, ground.axes)
        plane(ax, first, second)
        ax.set_xlim(ground.low[0], ground.high[0])
        ax.set_ylim(ground.low[1], ground.high[1])
        ax.set_title(f"{WORDS}; shading: {ground.words}", fontsize="small")
        self.trails = Trails(ax, walkers * result.particles)
        self.moving = [self.trails.lines, self.trails.dots]
        self.draw_static(ax)

    def show(self, history: np.ndarray) -> None:
        points = history[..., self.columns]
        self.trails.show(points.reshape(len(points), -1, 2).swapaxes(0, 1))


class Strip(Scene):
    """One coordinate: the walkers on the curve of the density, and below it where they came from."""

    memory = 3.0

    def __init__(self, result: Result, walkers: int, pace: Pace, pixels: int) -> None:
        super().__init__(result, pace, pixels, shape=0.66)
        above, below = self.figure.subplots(2, sharex=True, height_ratios=(2, 3))
        density = density_line(result)
        (axis,) = density.axes
        self.places, self.heights = axis.centres, smooth(np.nan_to_num(density.values), 3)
        above.fill_between(self.places, self.heights, color=BLUE, alpha=0.25, linewidth=0)
        above.plot(self.places, self.heights, color=BLUE, linewidth=1.2)
        above.set_xlim(axis.edges[0], axis.edges[-1])
        above.set_ylim(0, 1.35 * float(self.heights.max(initial=1e-300)))
        above.set_ylabel(label("density |ψ|²", density.unit))
        above.set_title(f"{WORDS}, and where they came from", fontsize="small")
        self.ages = pace.step * np.arange(1 - pace.points(self.memory), 1)
        box = (axis.edges[0], axis.edges[-1], self.ages[0], -0.04 * self.ages[0])
        below.imshow(self.heights[None], cmap=GROUND, vmin=0, aspect="auto", extent=box, interpolation="bicubic")
        below.set_xlabel(label(axis.long_name, axis.unit))
        below.set_ylabel(label("imaginary time from now", f"1/{result.energy_unit}"))
        tracks = walkers * result.particles
        self.trails, self.riders = Trails(below, tracks), Trails(above, tracks)
        self.moving = [self.trails.lines, self.trails.dots, self.riders.dots]
        self.draw_static(above)

    def show(self, history: np.ndarray) -> None:
        places = history.reshape(len(history), -1).T
        self.trails.show(np.stack([places, np.broadcast_to(self.ages, places.shape)], -1))
        now = places[:, -1]
        self.riders.dots.set_offsets(np.stack([now, np.interp(now, self.places, self.heights)], -1))


class Row(Scene):
    """Particles in a row, each with its displacement: a string that moves, its past fading, over the spread of |ψ|²."""

    memory = 0.5

    def __init__(self, result: Result, walkers: int, pace: Pace, pixels: int) -> None:
        super().__init__(result, pace, pixels, shape=0.75)
        ax = self.figure.add_subplot()
        samples = result.measurement.samples[:, :, 0]
        self.numbers = np.arange(1, samples.shape[1] + 1)
        mean, spread = samples.mean(0), samples.std(0)
        ax.set_facecolor(GROUND(0.0))
        for widths, shade in ((2, 0.35), (1, 0.75)):
            ax.fill_between(
                self.numbers, mean - widths * spread, mean + widths * spread, color=GROUND(shade), linewidth=0
            )
        ax.set_xlim(0.5, len(self.numbers) + 0.5)
        reach = 1.1 * float(np.abs(samples).max())
        ax.set_ylim(-reach, reach)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("particle")
        ax.set_ylabel(label("displacement", result.length_unit))
        ax.set_title(f"{WORDS}; shading: one and two standard deviations of |ψ|²", fontsize="small")
        self.strings = _fading_lines(ax, _colours(walkers), np.linspace(0.05, 0.9, SHADES) ** 2, 1.4)
        self.dots = _dots(ax, np.repeat(_colours(walkers), len(self.numbers), axis=0))
        self.moving = [self.strings, self.dots]
        self.draw_static(ax)

    def show(self, history: np.ndarray) -> None:
        places = history[np.linspace(0, len(history) - 1, SHADES).round().astype(int), ..., 0]
        strings = np.stack([np.broadcast_to(self.numbers, places.shape), places], -1)
        self.strings.set_segments(list(strings.reshape(-1, len(self.numbers), 2)))
        self.dots.set_offsets(strings[-1].reshape(-1, 2))


def _colours(count: int) -> np.ndarray:
    """Colours (count, 4), which repeat where there are too few."""
    return to_rgba_array([COLOURS[number % len(COLOURS)] for number in range(count)])


def _fading_lines(ax: Axes, colours: np.ndarray, shades: np.ndarray, width: float) -> LineCollection:
    """Lines in all `colours` for each of the `shades` of opacity, oldest first."""
    faded = np.tile(colours, (len(shades), 1))
    faded[:, 3] = np.repeat(shades, len(colours))
    lines = LineCollection([], colors=faded, linewidths=width)
    ax.add_collection(lines, autolim=False)
    return lines


def _dots(ax: Axes, colours: np.ndarray) -> PathCollection:
    """One dot a colour (T, 4); the more there are, the smaller."""
    nowhere, size = np.zeros(len(colours)), 10 + 40 * min(1.0, 4 / math.sqrt(len(colours)))
    return ax.scatter(nowhere, nowhere, s=size, c=colours, edgecolors="black", linewidths=0.7, zorder=3)
