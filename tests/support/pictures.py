"""A picture of a run by itself, and what is drawn in it."""

import numpy as np
from matplotlib.figure import Figure

from fkflow.plot import plots


def drawn(result, name):
    ax = Figure(layout="constrained").add_subplot()
    plots(result)[name](ax)
    return ax


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


def bars(ax):
    """Every set of points with error bars: (x, y, lower ends, upper ends)."""
    found = []
    for container in ax.containers:
        (x, y), (segments,) = container.lines[0].get_data(), container.lines[2]
        ends = np.array(segments.get_segments())[:, :, 1]
        found.append((np.asarray(x), np.asarray(y), ends[:, 0], ends[:, 1]))
    return found
