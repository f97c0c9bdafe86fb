"""Why the answer is what it is: the evidence for the guesses, and the layers of the network.

All is one piece of HTML. Its pictures are inside, each layer's maps in one; page/figure.css lays
them out, and enlarges a map that is pointed at.
"""

import base64
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from lenet import LeNet
from page.answer import percent, with_article
from reading.evidence import blank_layers, evidence
from reading.reader import DigitReading

# Two colors that color-blind people can tell apart (Okabe and Ito 2008): blue, green, red.
MORE, LESS = np.array([178, 114, 0]), np.array([0, 94, 213])
STEPS = 31  # from white to a color: with more, pictures are larger, and look the same
SHADES = np.linspace(0, 1, STEPS + 1)[:, None]
WHITE = np.array([255, 255, 255])
PALETTE = np.uint8(
    np.concatenate([LESS + SHADES[:-1] * (WHITE - LESS), WHITE + SHADES * (MORE - WHITE)]).round()
)
INK = 0.55  # how dark the ink is that evidence is drawn over
# Filters, which help photographs, make such a picture larger, and take most of the time.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
# Of each layer of maps: LeCun's name for it, what it is, its size, and how many stand in a row.
MAPS = [
    ("C1", "convolution", "6 maps of 28×28", 3),
    ("S2", "pooling", "6 maps of 14×14", 3),
    ("C3", "convolution", "16 maps of 10×10", 4),
    ("S4", "pooling", "16 maps of 5×5", 4),
]
# Of each linear layer, how many numbers stand in a row.
LINES = [("F5", "linear", "120 numbers", 12), ("F6", "linear", "84 numbers", 12)]


def draw_figure(
    digits: Sequence[DigitReading], model: LeNet, chosen: int = 0, rival: int | None = None
) -> str:
    """Draw what the network received, why it answers so, and what each layer computed.

    Parameters
    ----------
    digits : sequence of DigitReading
        From left to right.
    model : LeNet
        That has read them.
    chosen : int
        Which of them is explained; the last, if there are fewer.
    rival : int, optional
        Which digit the first guess is compared with first; by default the second guess.

    Returns
    -------
    html : str
        There is no address to fetch in it.
    """
    chosen = min(chosen, len(digits) - 1)
    reading = digits[chosen]
    return (
        f'<div class="figure" style="--digit:{_url(_ink(reading.digit))}">'
        f"{_row_of_digits(digits, chosen)}{_draw_evidence(reading, model, rival)}"
        f"{_draw_layers(reading, model)}</div>"
    )


def colorize(values: np.ndarray) -> np.ndarray:
    """Color values in [-1, 1], from orange over white to blue; OpenCV's order of channels."""
    return PALETTE.take(np.rint((values + 1) * STEPS).astype(np.intp), axis=0)


def tint(values: np.ndarray) -> np.ndarray:
    """Color values in [-1, 1] to lie over a picture: the nearer to 0, the more transparent."""
    color = np.where(values[..., None] > 0, MORE, LESS)
    return np.concatenate([color, 255 * np.abs(values)[..., None]], axis=2).round().astype(np.uint8)


def add_up(blank: float, places: np.ndarray) -> tuple[float, float, float, float]:
    """Return (blank paper's score, sum of gains, sum of losses, score), in tenths that add up."""
    score = round(float(blank + places.sum()), 1)
    blank, less = round(float(blank), 1), round(float(places[places < 0].sum()), 1)
    return blank, round(score - blank - less, 1), less, score


def _row_of_digits(digits: Sequence[DigitReading], chosen: int) -> str:
    """Return the digits of a number, to choose one; of a single digit nothing."""
    if len(digits) == 1:
        return ""
    labels = "".join(
        f'<label><input type="radio" name="digit" value="{k}"{" checked" if k == chosen else ""}>'
        f'<span style="background-image:{_url(_ink(reading.digit))}"></span>'
        f"<b>{_best(reading)[0]}</b></label>"
        for k, reading in enumerate(digits)
    )
    return f'<fieldset class="digits"><legend>Explain which digit?</legend>{labels}</fieldset>'


def _draw_evidence(reading: DigitReading, model: LeNet, rival: int | None) -> str:
    """Return pictures of the evidence for three guesses, and of the first against any other."""
    places = evidence(reading.layers[2], model)
    blank = blank_layers(model)[-1].tolist()
    guesses = _best(reading)
    first = guesses[0]
    if rival is None or rival == first:
        rival = guesses[1]
    maps = [places[digit] for digit in guesses[:3]] + list(places[first] - places)
    strip = np.concatenate(maps, axis=1)
    strip /= max(np.abs(strip).max(), 1e-9)
    figures = "".join(
        _evidence_figure(
            n,
            f"<b>{digit}</b> <span>{percent(reading.probabilities[str(digit)])}</span>",
            add_up(blank[digit], places[digit]),
            "score",
        )
        for n, digit in enumerate(guesses[:3])
    )
    choices = comparisons = ""
    for digit in sorted(set(range(10)) - {first}):
        checked = " checked" if digit == rival else ""
        choices += (
            f'<label><input type="radio" name="rival" value="{digit}"{checked}>{digit}</label>'
        )
        parts = add_up(blank[first] - blank[digit], places[first] - places[digit])
        name = f"{first} leads {digit} by"
        comparisons += _evidence_figure(3 + digit, "", parts, name, f"over{digit}")
    return f"""<h2>Why {with_article(str(first))}?</h2>
<div class="evidence" style="--places:{_url(tint(strip))};--of:13">{figures}
<fieldset><legend>Why not {choices}?</legend>{comparisons}</fieldset></div>
<p class="legend"><i class="more"></i> speaks for the digit, <i class="less"></i> against it. What
the hundred places add to what blank paper has is the score; the highest score is the answer.</p>"""


def _evidence_figure(n: int, title: str, parts: tuple, name: str, kind: str = "guess") -> str:
    """Return one map of the evidence, the n-th of its strip, with its sum."""
    blank, more, less, score = (f"{part:+.1f}".replace("-", "−") for part in parts)
    return (
        f'<figure class="{kind}"><div class="title">{title}</div>'
        f'<i class="places" style="--n:{n}"></i><figcaption>'
        f"{more} for, {less} against, {blank} blank paper: <b>{name} {score}</b>"
        "</figcaption></figure>"
    )


def _draw_layers(reading: DigitReading, model: LeNet) -> str:
    """Return what each layer computed, in the order of LeNet's own drawing."""
    # What a layer answers to blank paper says nothing of the digit: the difference is drawn.
    differences = [a - b for a, b in zip(reading.layers, blank_layers(model), strict=True)]
    differences = [d / max(np.abs(d).max(), 1e-6) for d in differences[:-1]]
    figures = [_figure('<i class="received"></i>', "Input", "as MNIST has it", "28×28 pixels")]
    kernels = _draw_kernels(model)
    for (name, kind, size, columns), maps in zip(MAPS, differences[:4], strict=True):
        style = f"--of:{len(maps)};--columns:{columns};--maps:{_url(colorize(np.hstack(maps)))}"
        if name in kernels:
            style += f";--kernels:{kernels[name]}"
        items = "".join(f'<i tabindex="-1" style="--n:{n}"></i>' for n in range(len(maps)))
        which = f"maps {name.lower()}"
        figures.append(_figure(items, name, kind, size, f'class="{which}" style="{style}"'))
    for (name, kind, size, columns), line in zip(LINES, differences[4:], strict=True):
        picture = _url(colorize(line.reshape(-1, columns)))
        shape = f"background-image:{picture};aspect-ratio:{columns}/{len(line) // columns}"
        figures.append(_figure(f'<i class="line" style="{shape}"></i>', name, kind, size))
    bars = _bars(list(reading.probabilities.values()))
    figures.append(_figure(bars, "Output", "softmax", "10 probabilities"))
    return f"""<h2>The layers</h2><div class="layers">{"".join(figures)}</div>
<p class="legend"><i class="more"></i> is more than on blank paper, <i class="less"></i> less.
Point at a map, or tap it: it grows, and of a convolution shows its kernel.</p>"""


@lru_cache(1)
def _draw_kernels(model: LeNet) -> dict[str, str]:
    """Return pictures of each convolution's kernels: the same for all digits."""
    weights = {"C1": model.conv1.weight, "C3": model.conv2.weight}
    return {name: _url(colorize(_strip(w.detach().numpy()))) for name, w in weights.items()}


def _strip(kernels: np.ndarray) -> np.ndarray:
    """Lay kernels out: one below the other, each with its channels side by side; in [-1, 1]."""
    count, channels, height, width = kernels.shape
    rows = kernels.transpose(0, 2, 1, 3).reshape(count * height, channels * width)
    return rows / np.abs(rows).max()


def _figure(content: str, name: str, kind: str, size: str, attributes: str = "") -> str:
    return (
        f"<figure><div {attributes}>{content}</div>"
        f"<figcaption><b>{name}</b> <span>{kind}</span><small>{size}</small></figcaption></figure>"
    )


def _bars(probabilities: Sequence[float]) -> str:
    """Return the ten probabilities as columns."""
    best = max(probabilities)
    columns = "".join(
        f'<li{" class=best" if p == best else ""} title="{p:.1%}">'
        f'<span style="height:{p:.1%}"></span>{digit}</li>'
        for digit, p in enumerate(probabilities)
    )
    return f'<ol class="bars">{columns}</ol>'


def _best(reading: DigitReading) -> list[int]:
    """Return the ten digits, the likeliest first."""
    return sorted(range(10), key=lambda digit: -reading.probabilities[str(digit)])


def _ink(digit: np.ndarray) -> np.ndarray:
    """Return a digit in MNIST's form as gray pixels: dark on white, pale enough to draw over."""
    return (255 * (1 - INK * digit)).round().astype(np.uint8)


def _url(pixels: np.ndarray) -> str:
    """Return a picture as the value of a CSS property."""
    data = base64.b64encode(cv2.imencode(".png", pixels, PNG)[1]).decode()
    return f"url(data:image/png;base64,{data})"
