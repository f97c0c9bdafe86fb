"""Write each digit in the handwriting styles of many countries, at random.

Each function takes `u(low, high)`, a uniform random number, by default in [0, 1). It returns
strokes: points (x, y) in about the unit box, y down; a repeated point is a corner.
"""

from collections.abc import Callable

import numpy as np

from training.pen_curves import arc, corner, path

Uniform = Callable[..., float]
Strokes = list[np.ndarray]


def zero(u: Uniform) -> Strokes:
    """An oval that stops short or overlaps, sometimes with tails."""
    start = u(-2.5, 2.5)
    oval = arc((0.5, 0.5), (u(0.22, 0.47), 0.5), start, start - u(10.5, 13.5))
    before = [(u(0.1, 0.95), u(-0.12, 0.25))] if u() < 0.25 else []
    after = [(u(0.3, 1.0), u(-0.12, 0.2))] if u() < 0.35 else []
    return [path(*before, oval, *after)]


def one(u: Uniform) -> Strokes:
    """A stem, alone or with a flag, an upstroke from the baseline, or a foot."""
    foot, flag, kind = np.array([u(-0.1, 0.08), 1]), [], u()
    if kind < 0.3:  # an upstroke
        tip = np.array([-u(0.25, 0.85), u(0.5, 1.0)])
        flag = [tip, tip / 2 + (0, u(-0.04, 0.12))]
    elif kind < 0.82:
        angle, length = u(0.3, 1.3), u(0.15, 0.7)
        tip = length * np.array([-np.cos(angle), np.sin(angle)])
        flag = [tip, tip / 2 + (0, u(-0.05, 0.05))]
    stem = path(corner(0, 0) if u() < 0.75 else (0, 0), foot / 2 + (u(-0.04, 0.04), 0), foot)
    base = path(foot - (u(0.05, 0.45), u(-0.05, 0.03)), foot, foot + (u(0.1, 0.5), u(-0.06, 0.04)))
    below = (0, u(0.1, 0.4))  # where a separate flag meets the stem
    strokes = [path(*flag, below), stem] if flag and u() < 0.12 else [path(*flag, stem)]
    return [*strokes, base] if u() < 0.3 else strokes


def two(u: Uniform) -> Strokes:
    """A head, sometimes looped, and a base after a corner, a loop or a wave."""
    height, width, kind = u(0.18, 0.3), u(0.18, 0.42), u()
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
    """A round or flat head, a waist (a cusp, a loop or smooth), and a belly."""
    height, kind = u(0.17, 0.26), u()
    waist = np.array([u(0.2, 0.65), 2 * height + u(-0.04, 0.04)])
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
    """An arm with a bar, and a stem: open, closed at the top, or like an h or a u."""
    bar, kind = u(0.46, 0.8), u()
    left, right = (u(0, 0.1), bar), (u(0.5, 1.0), bar + u(-0.14, 0.04))
    top = np.array([right[0] - u(0.03, 0.25), u(-0.05, bar - 0.1)])
    tip = left[0] + u(-0.02, 0.4), u(-0.05, 0.12)
    if kind < 0.2:  # closed
        tip = top = np.array([top[0] + u(-0.05, 0.05), 0])
    elif kind < 0.45:  # like an h
        top = np.array([u(0.3, 0.7), bar - u(-0.03, 0.15)])
    elif kind < 0.55:  # like a u, in one stroke
        top[1] = u(0, 0.2)
    bottom = top[0] + u(-0.15, 0.05), u(0.95, 1.08)
    bow = (tip[0] + left[0]) / 2 + u(-0.12, 0.06), bar * u(0.4, 0.65)
    if 0.2 < kind < 0.28:  # in one stroke
        return [path(tip, bow, corner(*left), top, (right[0], bar + u(-0.05, 0.12)), bottom)]
    cup = left[0] + u(0.05, 0.25), bar + u(-0.02, 0.08)
    if 0.45 < kind < 0.55:
        return [path(tip, bow, cup, (top[0] - 0.05, bar + u(-0.15, 0)), corner(*top), bottom)]
    turn = [cup] if u() < 0.3 else [corner(*left)] if u() < 0.6 else [left]
    return [path(tip, bow, *turn, right), path(top, bottom)]


def five(u: Uniform) -> Strokes:
    """A neck, a belly and a roof; the roof comes first or last, or all is one S."""
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
    """A bowed or straight stem that ends in a wide or small, closed or open loop."""
    width, height = u(0.15, 0.42), u(0.12, 0.33)
    tip, side = np.array([0.45 + u(-0.2, 0.5), 0]), 0.45 - width + u(-0.04, 0.1)
    bow = (tip[0] + side) / 2 - u(-0.02, 0.14), u(0.3, 0.5) * (1 - height)
    hook = [tip + (u(0, 0.15), u(0.02, 0.12))] if u() < 0.25 else []
    loop = arc((0.45, 1 - height), (width, height), u(8.5, 10), u(-4.5, 0.5))
    return [path(*hook, tip, bow, loop)]


def seven(u: Uniform) -> Strokes:
    """A roof, straight, wavy or with a serif, and a stem, mostly barred."""
    left, right = np.array([u(0, 0.15), u(-0.05, 0.22)]), np.array([u(0.6, 1.0), u(-0.04, 0.08)])
    foot, kind = np.array([u(0.1, 0.65), 1]), u()
    serif = [left + (u(-0.06, 0.06), u(0.08, 0.25))] if kind < 0.4 else []
    start = corner(*left) if kind < 0.25 else left
    turn = corner(*right) if u() < 0.55 else right + (0, u(0, 0.12))
    bend = (right + foot) / 2 + (u(-0.12, 0.16), u(-0.05, 0.05))
    stem = path(*serif, start, (left + right) / 2 + (0, u(-0.14, 0.1)), turn, bend, foot)
    if u() < 0.1:
        return [stem]
    middle, tilt = bend + (foot - bend) * u(-0.1, 0.65), u(-0.3, 0.12)
    ends = [middle + reach * np.array([1, tilt]) for reach in (-u(0.12, 0.45), u(0.1, 0.45))]
    return [stem, path(ends[0], middle + (0, u(-0.05, 0.05)), ends[1])]


def eight(u: Uniform) -> Strokes:
    """An S that closes, or nearly closes, to two loops; two rings; or a ribbon."""
    waist, widths, kind = u(0.32, 0.54), (u(0.14, 0.34), u(0.08, 0.42)), u()
    centers = (0.45, waist / 2), (0.45 + u(-0.06, 0.06), (1 + waist) / 2)
    radii = (widths[0], waist / 2), (widths[1], (1 - waist) / 2)
    if kind < 0.1:
        return [arc(centers[0], radii[0], 1, 13), arc(centers[1], radii[1], u(-1, 1), u(11.5, 13))]
    if kind < 0.2:  # a ribbon: one loop, open at the top
        loop = arc(centers[1], radii[1], 11, 1)
        return [path((u(0.6, 0.9), u(0, 0.1)), (0.5, waist), loop, (0.4, waist), (u(0, 0.3), 0.05))]
    head = arc(centers[0], radii[0], u(0.5, 3.5), -4.8)
    belly = arc(centers[1], radii[1], 1.2, u(10, 11.2))
    end = head[0] + (u(-0.08, 0.14), u(-0.1, 0.16)) if u() < 0.85 else (u(0.3, 0.6), waist)
    shape = path(head, belly, (0.45 + u(-0.03, 0.03), waist + 0.02), end)
    return [shape if u() < 0.75 else shape * (-1, 1)]


def nine(u: Uniform) -> Strokes:
    """A closed or open head and a tail: straight, curved, or curled like a 3's."""
    height, width, start, kind = u(0.07, 0.28), u(0.16, 0.36), u(0.5, 4), u()
    as_three, side, lean = u() < 0.35, 0.42 + width, max(0, u(-0.3, 0.7))
    sweep = u(11, 14) if as_three else u(8.5, 13.5)
    head = arc((0.42, height), (width, height), start, start - sweep, u(-0.1, 0.15))
    head = head - (head[:, 1:] - height) * (lean, 0)
    joint = corner(side + u(-0.06, 0.08), u(-0.04, height))
    if as_three:  # the tail starts below a closed head
        joint = path((side - u(0.02, 0.25), 2 * height + u(-0.12, 0.02)))
    elif u() < 0.45:
        joint = joint[:1]
    if kind < 0.2:
        return [path(head, joint, (u(0.1, 0.85), 1))]
    if kind < 0.4:
        return [path(head, joint, (side + u(-0.08, 0.04), 0.55), (u(0.0, 0.5), u(0.92, 1)))]
    size = u(0.22, 0.36)
    tail = arc((side - u(0.3, 0.45), 1 - size), (u(0.28, 0.45), size), u(1.5, 3.5), u(7, 10))
    return [path(head, joint, tail)]


DIGITS = (zero, one, two, three, four, five, six, seven, eight, nine)
