"""Ruled and squared paper: its lines run all across it, and are taken out of the ink."""

import cv2
import numpy as np

MIN_LENGTH = 0.25  # of the picture's side; no stroke of a digit is straight for so long
MIN_COVERED, MIN_COVERED_ALONE = 0.8, 0.96  # of the side: by one of several lines, by one alone
MIN_ALIGNED = 0.48  # of the side: pixels exactly in line that a ruled line has
PERIODIC = 3  # more parallel lines than these are ruled paper
MIN_BAR = 0.025  # of the other side; a broader line is a bar
CROSSED = 1.6  # times a line's darkness; where it is darker, a stroke crosses it
SAMPLE_STEP = 8  # pixels between the columns that are examined
TALL, GAP = np.ones((3, 1), np.uint8), np.ones((9, 1), np.uint8)  # pixels
SLOPES = np.linspace(-0.16, 0.16, 33)  # of lines in photographs


def remove_ruling(ink: np.ndarray, noise: float) -> np.ndarray:
    """Return ink without lines that run all across it, or all down."""
    level = max(noise, 0.05 * float(ink.max()))
    inked = (ink > level).view(np.uint8)
    bare = ink
    if cv2.reduce(inked, 0, cv2.REDUCE_MAX).mean() > MIN_COVERED:
        bare = _remove_rows(bare, level)
    if cv2.reduce(inked, 1, cv2.REDUCE_MAX).mean() > MIN_COVERED:
        bare = _remove_rows(bare.T, level).T
    # What is nothing but lines is no ruling.
    return np.ascontiguousarray(bare) if bare.max() > 0.5 * ink.max() else ink


def _remove_rows(ink: np.ndarray, level: float) -> np.ndarray:
    """Return ink without lines that run from left to right, more or less level."""
    gray = (255 * ink).astype(np.uint8)
    # Half the size, each pixel the darkest of four: hairlines stay.
    half = cv2.dilate(gray, np.ones((2, 2), np.uint8), anchor=(0, 0))[::2, ::2]
    slope = _main_slope(half > 255 * level)
    if slope is None:
        return ink
    lines = _long_lines(half, level, [slope])
    if not lines.any():
        return ink
    lines = np.maximum(lines, _long_lines(half, level, [slope - 0.02, slope + 0.02]))
    lines = cv2.dilate(cv2.resize(lines, gray.shape[::-1]), TALL)
    bare = np.where(gray > CROSSED * lines, ink, 0)
    # A stroke goes on where it crosses a line that is as dark.
    return np.where(lines > 0, cv2.morphologyEx(bare, cv2.MORPH_CLOSE, GAP), bare)


def _main_slope(ink: np.ndarray) -> float | None:
    """Return the slope along which ink is in line most (Hough 1962); None if nowhere all across."""
    y, x = np.nonzero(ink[:, ::SAMPLE_STEP])
    rows = y + np.outer(SLOPES, SAMPLE_STEP * x - ink.shape[1] / 2).astype(np.int32)
    rows -= rows.min(initial=0)
    span = rows.max(initial=0) + 1
    rows += span * np.arange(len(SLOPES))[:, None]
    counts = np.bincount(rows.ravel(), minlength=span * len(SLOPES)).reshape(len(SLOPES), -1)
    best = np.square(counts).sum(axis=1).argmax()
    return SLOPES[best] if counts[best].max() >= MIN_ALIGNED * ink.shape[1] / SAMPLE_STEP else None


def _long_lines(half: np.ndarray, level: float, slopes: list[float]) -> np.ndarray:
    """Return how dark the lines of some slopes are that run from left to right; 0 elsewhere."""
    height, width = half.shape
    long = np.ones((1, max(3, round(MIN_LENGTH * width))), np.uint8)
    broad = np.ones((max(5, round(MIN_BAR * height)), 1), np.uint8)
    lines = np.zeros_like(half)
    for slope in slopes:
        shear = np.float32([[1, 0, 0], [slope, 1, -slope * width / 2]])
        straight = cv2.warpAffine(half, shear, (width, height), flags=cv2.INTER_NEAREST)
        straight = cv2.blur(cv2.dilate(straight, TALL), (5, 1))
        straight = cv2.morphologyEx(straight, cv2.MORPH_OPEN, long)
        straight = cv2.morphologyEx(straight, cv2.MORPH_TOPHAT, broad)
        covered = cv2.dilate((straight > 255 * level).view(np.uint8), TALL).mean(axis=1)
        rows = cv2.dilate((covered > MIN_COVERED).view(np.uint8), GAP)
        several = cv2.connectedComponents(rows)[0] > PERIODIC
        straight[covered < (MIN_COVERED if several else MIN_COVERED_ALONE)] = 0
        rows = straight.any(axis=1)
        if rows.any():
            # A stroke that runs along a line is darker than the rest of it.
            middle = np.median(straight[rows], axis=1, keepdims=True).astype(np.uint8)
            straight[rows] = np.minimum(straight[rows], middle)
            shear[1] *= -1, 1, -1
            back = cv2.warpAffine(straight, shear, (width, height), flags=cv2.INTER_NEAREST)
            lines = np.maximum(lines, back)
    return lines
