"""A small grammar of handwriting: how pens of several schools write each digit.

Each function takes `u(low, high)`, which draws a uniform number (of [0, 1) if it is asked for
none), and returns strokes: arrays of points (x, y) in about the unit box, y down, which the pen
passes on a smooth curve; a point that stands twice in a row is a corner. What a school leaves open
(how far a flag reaches, how high a bar lies, whether a loop closes) is drawn at random, so that
what lies between two hands is drawn as well.
"""

from collections.abc import Callable

import numpy as np

Uniform = Callable[..., float]
Strokes = list[np.ndarray]


def zero(u: Uniform) -> Strokes:
    """Return an oval that stops short or runs on, perhaps with tails."""
    start = u(-2.5, 2.5)
    oval = arc((0.5, 0.5), (u(0.22, 0.47), 0.5), start, start - u(10.5, 13.5))
    before = [(u(0.1, 0.95), u(-0.12, 0.25))] if u() < 0.25 else []
    after = [(u(0.3, 1.0), u(-0.12, 0.2))] if u() < 0.35 else []
    return [path(*before, oval, *after)]


def one(u: Uniform) -> Strokes:
    """Return a stem: bare, with a flag or an upstroke from the baseline, with a foot, with both."""
    foot, flag, kind = np.array([u(-0.1, 0.08), 1]), [], u()
    if kind < 0.3:  # an upstroke
        tip = np.array([-u(0.25, 0.85), u(0.5, 1.0)])
        flag = [tip, tip / 2 + (0, u(-0.04, 0.12))]
    elif kind < 0.82:
        angle, length = u(0.3, 1.3), u(0.15, 0.6)
        tip = length * np.array([-np.cos(angle), np.sin(angle)])
        flag = [tip, tip / 2 + (0, u(-0.05, 0.05))]
    stem = path(*flag, corner(0, 0) if u() < 0.75 else (0, 0), foot / 2 + (u(-0.04, 0.04), 0), foot)
    base = path(foot - (u(0.05, 0.45), u(-0.05, 0.03)), foot, foot + (u(0.1, 0.5), u(-0.06, 0.04)))
    return [stem, base] if u() < 0.3 else [stem]


def two(u: Uniform) -> Strokes:
    """Return a head, which may start in a loop, and a base after a corner, a loop or a wave."""
    height, width, kind = u(0.18, 0.3), u(0.22, 0.42), u()
    start, curl = (u(3, 7), u(0.2, 0.65)) if u() < 0.4 else (u(7.5, 11), u(-0.2, 0.2))
    head = arc((0.45, height), (width, height), start, u(15, 17), curl)
    low = 0.45 - width + u(-0.15, 0.15), u(0.86, 1)
    end = 0.45 + width + u(-0.25, 0.25), u(0.85, 1)
    if kind < 0.4:
        return [path(head, corner(*low), end)]
    if kind < 0.7:
        return [path(head, low, (0.4, u(0.85, 1)), end)]
    loop = arc((low[0] + 0.12, 0.9), (u(0.08, 0.2), u(0.04, 0.12)), u(5, 7), 12.5)
    return [path(head, loop, (0.6, u(0.88, 1)), end)]


def three(u: Uniform) -> Strokes:
    """Return a round or flat head, a waist that is a cusp, a loop or smooth, and a belly."""
    height, kind = u(0.17, 0.26), u()
    waist = np.array([u(0.2, 0.55), 2 * height + u(-0.04, 0.04)])
    head = arc((0.4, height), (u(0.22, 0.38), height), u(8.5, 11), u(15.5, 16.5), u(-0.1, 0.2))
    if u() < 0.25:
        head = path((u(0, 0.2), u(0, 0.15)), (0.4, u(0, 0.06)), corner(u(0.65, 0.85), u(0, 0.1)))
    middle = corner(*waist) if kind < 0.5 else waist
    if kind > 0.9:
        middle = waist + [(0.04, -0.03), (-0.08, 0.02), (0.04, 0.04)]
    size = (1 - waist[1]) / 2
    belly = arc((u(0.3, 0.5), 1 - size), (u(0.25, 0.42), size), u(12.5, 14), u(18, 20.5))
    return [path(head, middle, belly)]


def four(u: Uniform) -> Strokes:
    """Return an arm with a bar and a stem: of two hooks, as an h or a u, or closed at the top."""
    bar, kind = u(0.46, 0.76), u()
    left, right = (u(0, 0.1), bar), (u(0.65, 1.0), bar + u(-0.14, 0.04))
    top = np.array([right[0] - u(0.03, 0.35), u(-0.05, bar - 0.1)])
    tip = left[0] + u(-0.02, 0.4), u(-0.05, 0.12)
    if kind < 0.2:  # closed
        tip = top = np.array([top[0] + u(-0.05, 0.05), 0])
    elif kind < 0.45:  # as an h
        top = np.array([u(0.3, 0.7), bar - u(-0.03, 0.15)])
    elif kind < 0.55:  # as a u, in one stroke
        top[1] = u(0, 0.2)
    bottom = top[0] + u(-0.15, 0.05), u(0.95, 1.08)
    bow = (tip[0] + left[0]) / 2 + u(-0.12, 0.06), bar * u(0.4, 0.65)
    cup = left[0] + u(0.05, 0.25), bar + u(-0.02, 0.08)
    if 0.45 < kind < 0.55:
        return [path(tip, bow, cup, (top[0] - 0.05, bar + u(-0.15, 0)), corner(*top), bottom)]
    turn = [cup] if u() < 0.3 else [corner(*left)] if u() < 0.6 else [left]
    return [path(tip, bow, *turn, right), path(top, bottom)]


def five(u: Uniform) -> Strokes:
    """Return a neck and a belly under a roof, written first or last, or all of it as an S."""
    neck, size, kind = np.array([u(0.08, 0.35), u(0.0, 0.06)]), u(0.24, 0.33), u()
    shoulder = neck[0] + u(-0.12, 0.05), 1 - 2 * size + u(0, 0.12)
    belly = arc((u(0.3, 0.5), 1 - size), (u(0.28, 0.42), size), u(11.5, 13), u(17.5, 21.5))
    roof = neck + (u(0.2, 0.75), u(-0.1, 0.08))
    if kind < 0.25:
        return [path(roof, neck, shoulder, belly)]
    body = path(corner(*shoulder) if u() < 0.7 else shoulder, belly)
    if kind < 0.6:
        return [path(roof, corner(*neck), body)]
    return [path(neck, body), path(neck + (u(-0.12, 0.1), -u(0, 0.04)), roof)]


def six(u: Uniform) -> Strokes:
    """Return a stem, bowed or straight, that ends in a loop: wide or small, closed or open."""
    width, height = u(0.15, 0.42), u(0.12, 0.33)
    tip, side = np.array([0.45 + u(-0.2, 0.5), 0]), 0.45 - width + u(-0.04, 0.1)
    bow = (tip[0] + side) / 2 - u(-0.02, 0.14), u(0.3, 0.5) * (1 - height)
    hook = [tip + (u(0, 0.15), u(0.02, 0.12))] if u() < 0.25 else []
    loop = arc((0.45, 1 - height), (width, height), u(8.5, 10), u(-4.5, 0.5))
    return [path(*hook, tip, bow, loop)]


def seven(u: Uniform) -> Strokes:
    """Return a roof, with a serif, a wave or a curve, and a stem, barred or not."""
    left, right = np.array([u(0, 0.15), u(-0.05, 0.22)]), np.array([u(0.6, 1.0), u(-0.04, 0.08)])
    foot, kind = np.array([u(0.1, 0.65), 1]), u()
    serif = [left + (u(-0.06, 0.06), u(0.08, 0.25))] if kind < 0.4 else []
    start = corner(*left) if kind < 0.25 else left
    turn = corner(*right) if u() < 0.55 else right + (0, u(0, 0.12))
    bend = (right + foot) / 2 + (u(-0.12, 0.12), u(-0.05, 0.05))
    stem = path(*serif, start, (left + right) / 2 + (0, u(-0.14, 0.1)), turn, bend, foot)
    if u() < 0.1:
        return [stem]
    middle, tilt = bend + (foot - bend) * u(-0.15, 0.45), u(-0.3, 0.12)
    ends = [middle + reach * np.array([1, tilt]) for reach in (-u(0.12, 0.45), u(0.1, 0.45))]
    return [stem, path(ends[0], middle + (0, u(-0.05, 0.05)), ends[1])]


def eight(u: Uniform) -> Strokes:
    """Return an S that closes, or nearly closes, to two loops, or two rings."""
    waist, widths = u(0.32, 0.54), (u(0.14, 0.34), u(0.14, 0.42))
    centers = (0.45, waist / 2), (0.45 + u(-0.06, 0.06), (1 + waist) / 2)
    radii = (widths[0], waist / 2), (widths[1], (1 - waist) / 2)
    if u() < 0.12:
        return [arc(centers[0], radii[0], 1, 13), arc(centers[1], radii[1], u(-1, 1), u(11.5, 13))]
    head = arc(centers[0], radii[0], u(0.5, 3.5), -4.8)
    belly = arc(centers[1], radii[1], 1.2, u(10, 11.2))
    end = head[0] + (u(-0.08, 0.14), u(-0.1, 0.16)) if u() < 0.85 else (u(0.3, 0.6), waist)
    shape = path(head, belly, (0.45 + u(-0.03, 0.03), waist + 0.02), end)
    return [shape if u() < 0.75 else shape * (-1, 1)]


def nine(u: Uniform) -> Strokes:
    """Return a head, closed or open, and a tail: straight, curved, or curled as a 3's."""
    height, width, start, kind = u(0.1, 0.28), u(0.18, 0.36), u(0.5, 4), u()
    head = arc((0.42, height), (width, height), start, start - u(8.5, 13.5), u(-0.1, 0.15))
    side = 0.42 + width
    joint = path((side + u(-0.06, 0.08), u(-0.04, height)))
    if u() < 0.25:  # below the head it goes on as a 3 does
        joint = path((side - u(0.02, 0.25), 2 * height + u(-0.12, 0.02)))
    elif u() < 0.55:
        joint = corner(*joint[0])
    if kind < 0.25:
        return [path(head, joint, (u(0.1, 0.85), 1))]
    if kind < 0.5:
        return [path(head, joint, (side + u(-0.08, 0.04), 0.55), (u(0.0, 0.5), u(0.92, 1)))]
    size = u(0.22, 0.36)
    tail = arc((side - u(0.3, 0.45), 1 - size), (u(0.28, 0.45), size), u(1.5, 3.5), u(7, 10))
    return [path(head, joint, tail)]


DIGITS = (zero, one, two, three, four, five, six, seven, eight, nine)


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
