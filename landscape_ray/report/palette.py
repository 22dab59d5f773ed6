"""Colours, lines and sizes that figures have in common."""

__all__ = [
    "BLUE",
    "COLOURS",
    "DASHES",
    "GREY",
    "INK",
    "MARKERS",
    "PALE",
    "SERIES",
    "SMALL_PT",
    "TEXT_PT",
    "VERMILION",
    "WIDTH_IN",
]

# Blue and vermilion of Okabe and Ito (2008), told apart with any colour vision, and greys.
BLUE = "#0072B2"
VERMILION = "#D55E00"
INK = "#222222"
GREY = "#6B6B6B"
PALE = "#E4E4E4"
# Perceptually even and the same to the colour-blind: dark is safe, bright is not.
COLOURS = "cividis"
# Lines of several benchmarks differ in colour, dash and marker.
SERIES = (BLUE, VERMILION, "#007A5A", "#9C4684", "#5D5AA8", "#7A6000")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "osD^Pv"

TEXT_PT, SMALL_PT = 9.0, 8.0
WIDTH_IN = 6.4
