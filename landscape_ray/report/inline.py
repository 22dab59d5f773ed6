"""Figures that stand in a page as they are."""

import base64
import io

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["svg_uri"]


def svg_uri(figure: Figure) -> str:
    """Return a figure as the source of an image, an SVG that is the same each time."""
    image = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "landscape-ray"}):
        figure.savefig(image, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode()}"
