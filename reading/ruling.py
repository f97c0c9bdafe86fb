"""Remove the lines of ruled and squared paper, which run across the whole picture."""

import cv2
import numpy as np

MIN_LENGTH = 0.25  # share of the picture's side; shorter straight pieces aren't part of a line
MIN_COVERED, MIN_COVERED_ALONE = 0.8, 0.96  # covered share of the side: with parallels, alone
MIN_ALIGNED = 0.48  # share of the side that a line's pixels cover exactly in a row
MIN_PARALLELS = 3  # this many parallel lines are ruled paper
MIN_BAR = 0.025  # share of the other side; a broader line is a bar
CROSSING_DARKNESS = 1.6  # in darknesses of a line; darker pixels belong to a stroke that crosses it
SAMPLE_STEP = 8  # pixels between sampled columns
COLUMN_3, COLUMN_9 = np.ones((3, 1), np.uint8), np.ones((9, 1), np.uint8)  # kernels
SLOPES = np.linspace(-0.16, 0.16, 33)  # slopes of lines in photographs


def remove_ruling(ink: np.ndarray, noise: float) -> np.ndarray:
    """Return ink, float32 (H, W), without lines across the whole picture, in either direction.

    `noise` is the amount of ink, in [0, 1], up to which pixels count as paper.
    """
    level = max(noise, 0.05 * float(ink.max()))
    inked = (ink > level).view(np.uint8)
    bare = ink
    if cv2.reduce(inked, 0, cv2.REDUCE_MAX).mean() > MIN_COVERED:
        bare = _remove_rows(bare, level)
    if cv2.reduce(inked, 1, cv2.REDUCE_MAX).mean() > MIN_COVERED:
        bare = _remove_rows(bare.T, level).T
    # If only lines were found, they are the writing.
    return np.ascontiguousarray(bare) if bare.max() > 0.5 * ink.max() else ink


def _remove_rows(ink: np.ndarray, level: float) -> np.ndarray:
    """Return ink without nearly horizontal lines."""
    gray = (255 * ink).astype(np.uint8)
    # At half the size, take the darkest of four pixels, so that hairlines stay.
    half = cv2.dilate(gray, np.ones((2, 2), np.uint8), anchor=(0, 0))[::2, ::2]
    slope = _main_slope(half > 255 * level)
    if slope is None:
        return ink
    lines = _long_lines(half, level, [slope])
    if not lines.any():
        return ink
    lines = np.maximum(lines, _long_lines(half, level, [slope - 0.02, slope + 0.02]))
    lines = cv2.dilate(cv2.resize(lines, gray.shape[::-1]), COLUMN_3)
    bare = np.where(gray > CROSSING_DARKNESS * lines, ink, 0)
    # Close the gaps in strokes that cross a line of the same darkness.
    return np.where(lines > 0, cv2.morphologyEx(bare, cv2.MORPH_CLOSE, COLUMN_9), bare)


def _main_slope(ink: np.ndarray) -> float | None:
    """Return the slope on which most ink lies in rows (Hough 1962), None if no row is long."""
    y, x = np.nonzero(ink[:, ::SAMPLE_STEP])
    rows = y + np.outer(SLOPES, SAMPLE_STEP * x - ink.shape[1] / 2).astype(np.int32)
    rows -= rows.min(initial=0)
    span = rows.max(initial=0) + 1
    rows += span * np.arange(len(SLOPES))[:, None]
    counts = np.bincount(rows.ravel(), minlength=span * len(SLOPES)).reshape(len(SLOPES), -1)
    best = np.square(counts).sum(axis=1).argmax()
    return SLOPES[best] if counts[best].max() >= MIN_ALIGNED * ink.shape[1] / SAMPLE_STEP else None


def _long_lines(half: np.ndarray, level: float, slopes: list[float]) -> np.ndarray:
    """Return the darkness of lines with these slopes across the picture; 0 elsewhere."""
    height, width = half.shape
    long = np.ones((1, max(3, round(MIN_LENGTH * width))), np.uint8)
    broad = np.ones((max(5, round(MIN_BAR * height)), 1), np.uint8)
    lines = np.zeros_like(half)
    for slope in slopes:
        shear = np.float32([[1, 0, 0], [slope, 1, -slope * width / 2]])
        straight = cv2.warpAffine(half, shear, (width, height), flags=cv2.INTER_NEAREST)
        straight = cv2.blur(cv2.dilate(straight, COLUMN_3), (5, 1))
        straight = cv2.morphologyEx(straight, cv2.MORPH_OPEN, long)
        straight = cv2.morphologyEx(straight, cv2.MORPH_TOPHAT, broad)
        covered = cv2.dilate((straight > 255 * level).view(np.uint8), COLUMN_3).mean(axis=1)
        rows = cv2.dilate((covered > MIN_COVERED).view(np.uint8), COLUMN_9)
        several = cv2.connectedComponents(rows)[0] > MIN_PARALLELS
        straight[covered < (MIN_COVERED if several else MIN_COVERED_ALONE)] = 0
        rows = straight.any(axis=1)
        if rows.any():
            # A stroke along a line is darker than the rest of the line.
            middle = np.median(straight[rows], axis=1, keepdims=True).astype(np.uint8)
            straight[rows] = np.minimum(straight[rows], middle)
            shear[1] *= -1, 1, -1
            back = cv2.warpAffine(straight, shear, (width, height), flags=cv2.INTER_NEAREST)
            lines = np.maximum(lines, back)
    return lines
