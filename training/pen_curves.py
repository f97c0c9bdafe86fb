"""Curves of a pen: arcs, corners, and splines through points."""

import numpy as np


def arc(center, radii, start: float, end: float, curl: float = 0.0) -> np.ndarray:
    """Return points (N, 2) of an ellipse between two hours of the clock; 12 is the top.

    The arc is clockwise if `end` > `start`. At `start`, its radii are shorter by the share `curl`.
    """
    share = np.linspace(0, 1, max(2, round(abs(end - start) / 2)) + 1)
    angle = np.pi / 6 * (start + (end - start) * share)
    circle = np.column_stack([np.sin(angle), -np.cos(angle)])
    return center + circle * radii * (1 - curl * (1 - share))[:, None]


def corner(x: float, y: float) -> np.ndarray:
    """Return the points of a corner, at which `smooth` breaks the curve."""
    return np.array([(x, y)] * 2)


def path(*pieces) -> np.ndarray:
    """Join points and pieces of strokes to one stroke, a float array of shape (N, 2)."""
    return np.concatenate([np.reshape(piece, (-1, 2)) for piece in pieces]).astype(float)


_T = np.linspace(0, 1, 10, endpoint=False)[:, None]
HERMITE = 2 * _T**3 - 3 * _T**2 + 1, _T**3 - 2 * _T**2 + _T, 3 * _T**2 - 2 * _T**3, _T**3 - _T**2


def smooth(stroke: np.ndarray) -> np.ndarray:
    """Return a Catmull-Rom spline through a stroke's points, broken at its corners.

    It has ten samples from one point to the next. The formula is in the cubic Hermite basis; a
    point's tangent is half the distance between its neighbors. Source: Catmull and Rom 1974, "A
    class of local interpolating splines".

    Parameters
    ----------
    stroke : float array of shape (points, 2); a repeated point is a corner
    """
    path = np.concatenate([stroke[:1], stroke, stroke[-1:]])[:, None]
    before, start, end, after = path[:-3], path[1:-2], path[2:-1], path[3:]
    leaving = (end - before) / 2 * (start != before).any(-1, keepdims=True)
    arriving = (after - start) / 2 * (after != end).any(-1, keepdims=True)
    h = HERMITE
    pieces = h[0] * start + h[1] * leaving + h[2] * end + h[3] * arriving  # (segments, 10, 2)
    is_segment = (start != end).any((1, 2))
    return np.concatenate([pieces[is_segment].reshape(-1, 2), stroke[-1:]])
