"""Pictures: interactive in a live notebook, a still picture in a saved one, and always in words.

Every function returns a `Figure`. Nothing here needs Jupyter, a network or torch.
"""

from circuits_course.plots.attention import plot_attention
from circuits_course.plots.figure import Figure
from circuits_course.plots.heatmaps import plot_heads, plot_matrix
from circuits_course.plots.lines import plot_bars, plot_lines, plot_scatter
from circuits_course.plots.thumbnails import plot_thumbnails

__all__ = [
    "Figure",
    "plot_attention",
    "plot_bars",
    "plot_heads",
    "plot_lines",
    "plot_matrix",
    "plot_scatter",
    "plot_thumbnails",
]
