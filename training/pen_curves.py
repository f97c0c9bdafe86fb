"""The curves of a pen: points on arcs, corners, and what passes smoothly through them."""

import numpy as np


def arc(center, radii, start: float, end: float, curl: float = 0.0) -> np.ndarray:
    """Return points of an ellipse from one hour of the clock to another, 12 being the top.

    Clockwise if `end` is the greater; `curl` is the share of its radius that the start lacks.
    """
    share = np.linspace(0, 1, max(2, round(abs(end - start) / 2)) + 1)
    angle = np.pi / 6 * (start + (end - start) * share)
    circle = np.column_stack([np.sin(angle), -np.cos(angle)])
    return center + circle * radii * (1 - curl * (1 - share))[:, None]


def corner(x: float, y: float) -> np.ndarray:
    """Return a point at which the pen breaks its curve."""
    return np.array([(x, y)] * 2)


def path(*pieces) -> np.ndarray:
    """Return a stroke through points and pieces of strokes."""
    return np.concatenate([np.reshape(piece, (-1, 2)) for piece in pieces]).astype(float)


def smooth(stroke: np.ndarray, steps: int = 10) -> np.ndarray:
    """Return a curve through a stroke's points: a Catmull-Rom spline that breaks at corners.

    Catmull and Rom 1974, "A class of local interpolating splines"; written here in the cubic
    Hermite basis, with tangents of half the distance between a point's neighbours.

    Parameters
    ----------
    stroke : float ndarray of shape (points, 2)
        A point that stands twice in a row is a corner.
    steps : int
        Samples of the curve from one point to the next.

    Returns
    -------
    path : float64 ndarray of shape (samples, 2)
        Passes through every point, in order.
    """
    path = np.concatenate([stroke[:1], stroke, stroke[-1:]])[:, None]
    before, start, end, after = path[:-3], path[1:-2], path[2:-1], path[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    leaving = (end - before) / 2 * (start != before).any(-1, keepdims=True)
    arriving = (after - start) / 2 * (after != end).any(-1, keepdims=True)
    pieces = (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * leaving
        + (3 * t**2 - 2 * t**3) * end
        + (t**3 - t**2) * arriving
    )  # (segments, steps, 2)
    is_segment = (start != end).any((1, 2))
    return np.concatenate([pieces[is_segment].reshape(-1, 2), stroke[-1:]])
