"""The layers of the network, drawn as the figure in LeCun et al. 1998 has them."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np

# Blue, green and red of the colours for -1, 0 and 1, and for the 255 steps from one to the other.
RED, WHITE, BLACK = np.array([[12, 65, 194], [255, 255, 255], [20, 20, 20]])
SHADES = np.linspace(0, 1, 128)[:, None]
PALETTE = np.uint8(
    np.concatenate([RED + SHADES[:-1] * (WHITE - RED), WHITE + SHADES * (BLACK - WHITE)]).round()
)
# Filters, which help photographs, make such a picture larger, and take most of the time.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
# Of each layer: a title, a size, and how many maps, or numbers, stand in a row.
LAYERS = [
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
    """Draw what the network received, what each layer computed, and the answer.

    Parameters
    ----------
    digit : float ndarray of shape (28, 28)
        In [0, 1], 0 = paper.
    layers, blank : sequences of float ndarrays
        `LeNet.layers` of the digit and of blank paper, without the batch's dimension. What a
        layer answers to blank paper says nothing of the digit: the difference is drawn.
    probabilities : sequence of 10 floats
        Of 0 to 9, in [0, 1].

    Returns
    -------
    html : str
        Figures with their pictures inside; there is no address to fetch.
    """
    figures = [_to_figure(colorize(digit), "Received", "28×28 pixels", "What the network received")]
    for (title, size, columns), layer, nothing in zip(LAYERS, layers, blank, strict=False):
        difference = layer - nothing
        difference /= max(np.abs(difference).max(), 1e-6)
        if difference.ndim == 1:
            tiles, gap = difference.reshape(-1, 1, 1), 0
        else:
            tiles, gap = difference, max(1, difference.shape[-1] // 10)
        figures.append(_to_figure(colorize(mosaic(tiles, columns, gap)), title, size))
    return f"""<div class="layers">{"".join(figures)}{_bars(probabilities)}</div>
<p class="legend">The layers of the network, from the picture to the answer.
Black: more than on blank paper. <span>Red: less.</span></p>"""


def mosaic(tiles: np.ndarray, columns: int, gap: int) -> np.ndarray:
    """Lay tiles out in rows.

    Parameters
    ----------
    tiles : ndarray of shape (N, h, w)
        N is a multiple of `columns`.
    columns : int
        Tiles in a row.
    gap : int
        Pixels of paper between them.

    Returns
    -------
    grid : ndarray of shape (rows * (h + gap) - gap, columns * (w + gap) - gap)
    """
    rows = len(tiles) // columns
    n, height, width = tiles.shape
    padded = np.zeros((n, height + gap, width + gap), tiles.dtype)
    padded[:, :height, :width] = tiles
    grid = padded.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    grid = grid.reshape(rows * (height + gap), columns * (width + gap))
    return grid[: grid.shape[0] - gap, : grid.shape[1] - gap]


def colorize(values: np.ndarray) -> np.ndarray:
    """Colour values: 0 white, above it towards black, below it towards red.

    Parameters
    ----------
    values : float ndarray of shape (h, w)
        In [-1, 1].

    Returns
    -------
    pixels : uint8 ndarray of shape (h, w, 3)
        Blue, green, red, as OpenCV has them.
    """
    return PALETTE.take(np.rint((values + 1) * 127).astype(np.intp), axis=0)


def _to_figure(pixels: np.ndarray, title: str, size: str, alternative: str = "") -> str:
    """Return an HTML figure with a picture inside."""
    data = base64.b64encode(cv2.imencode(".png", pixels, PNG)[1]).decode()
    height, width = pixels.shape[:2]
    return f"""<figure><img src="data:image/png;base64,{data}" width="{width}" height="{height}"
alt="{alternative}"><figcaption><b>{title}</b> {size}</figcaption></figure>"""


def _bars(probabilities: Sequence[float]) -> str:
    """Return an HTML figure of the ten probabilities."""
    best = max(probabilities)
    columns = "".join(
        f'<li{" class=best" if p == best else ""} title="{p:.1%}">'
        f'<span style="height:{p:.1%}"></span>{digit}</li>'
        for digit, p in enumerate(probabilities)
    )
    return f"""<figure><ol class="bars">{columns}</ol>
<figcaption><b>Output</b> 10 probabilities</figcaption></figure>"""
