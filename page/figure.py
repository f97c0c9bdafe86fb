"""Why LeNet answered so: its layers, drawn as the figure in LeCun et al. 1998 has them."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np

PAPER, INK, LESS = np.array([[255, 255, 255], [20, 20, 20], [12, 65, 194]])  # blue, green, red
SHADES = np.linspace(0, 1, 128)[:, None]  # of a value from -1 over 0 to 1 the colour:
PALETTE = np.uint8(
    np.concatenate([LESS + SHADES[:-1] * (PAPER - LESS), PAPER + SHADES * (INK - PAPER)]).round()
)
# Filters, which help photographs, make such a picture larger, and take most of the time.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
# After each step: a title, a size, and how many maps, or numbers, stand in a row.
STEPS = [
    ("Convolution 1", "6 maps of 28×28", 3),
    ("Pooled", "6 maps of 14×14", 3),
    ("Convolution 2", "16 maps of 10×10", 4),
    ("Pooled", "16 maps of 5×5", 4),
    ("Linear 1", "120 numbers", 12),
    ("Linear 2", "84 numbers", 12),
]


def draw_layers(
    digit: np.ndarray,
    layers: Sequence[np.ndarray],
    blank: Sequence[np.ndarray],
    probabilities: Sequence[float],
) -> str:
    """Draw what the network received, what each layer made of it, and the answer.

    Parameters
    ----------
    digit : float ndarray of shape (28, 28) in [0, 1], 0 = paper
    layers, blank : `LeNet.layers` of the digit and of blank paper, as arrays without the batch
        What a layer answers to blank paper says nothing of the digit: the difference is drawn.
    probabilities : of 0 to 9

    Returns
    -------
    html : str
        Figures with their pictures inside; no address to fetch.
    """
    received = figure(picture(digit), "Received", "28×28 pixels", "What the network received")
    figures = [received]
    for (title, size, columns), layer, nothing in zip(STEPS, layers, blank, strict=False):
        difference = layer - nothing
        difference /= max(np.abs(difference).max(), 1e-6)
        if difference.ndim == 1:
            tiles, gap = difference.reshape(-1, 1, 1), 0
        else:
            tiles, gap = difference, max(1, difference.shape[-1] // 10)
        figures.append(figure(picture(mosaic(tiles, columns, gap)), title, size))
    return f"""<div class="layers">{"".join(figures)}{bars(probabilities)}</div>
<p class="legend">The layers of the network, from the picture to the answer.
Black: more than on blank paper. <span>Red: less.</span></p>"""


def mosaic(tiles: np.ndarray, columns: int, gap: int) -> np.ndarray:
    """Lay tiles (n, h, w) out in rows, with a gap of paper (pixels) between them."""
    rows = len(tiles) // columns
    n, height, width = tiles.shape
    padded = np.zeros((n, height + gap, width + gap), tiles.dtype)
    padded[:, :height, :width] = tiles
    grid = padded.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    grid = grid.reshape(rows * (height + gap), columns * (width + gap))
    return grid[: grid.shape[0] - gap, : grid.shape[1] - gap]


def picture(values: np.ndarray) -> np.ndarray:
    """Colour values in [-1, 1]: from paper to ink, or, below zero, to red; uint8 (h, w, 3), BGR."""
    return PALETTE.take(np.rint((values + 1) * 127).astype(np.intp), axis=0)


def figure(image: np.ndarray, title: str, size: str, alternative: str = "") -> str:
    data = base64.b64encode(cv2.imencode(".png", image, PNG)[1]).decode()
    height, width = image.shape[:2]
    return f"""<figure><img src="data:image/png;base64,{data}" width="{width}" height="{height}"
alt="{alternative}"><figcaption><b>{title}</b> {size}</figcaption></figure>"""


def bars(probabilities: Sequence[float]) -> str:
    best = max(probabilities)
    columns = "".join(
        f'<li{" class=best" if p == best else ""} title="{p:.1%}">'
        f'<span style="height:{p:.1%}"></span>{digit}</li>'
        for digit, p in enumerate(probabilities)
    )
    return f"""<figure><ol class="bars">{columns}</ol>
<figcaption><b>Output</b> 10 probabilities</figcaption></figure>"""
