"""Any picture of a digit becomes the picture that MNIST's authors would have made of it.

LeCun et al. 1998, section III-A: digits "size normalized to fit in a 20x20 pixel box while
preserving their aspect ratio", with an anti-aliasing filter, then centred in 28x28 "by
computing the center of mass of the pixels". A network that has seen only such pictures
reads only such pictures well. The way there: brightness, ink, the digit's own ink, a pen as
broad as MNIST's, the frame.
"""

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

FRAME = 28  # pixels, the side of MNIST's pictures
BOX = 20  # pixels, the longest side of a digit in them
CENTER = 14.0  # index of the centre of mass: that of 69,998 of MNIST's 70,000, ± half a pixel
PEN = (2.0, 3.4)  # pixels in the box: the usual breadth of MNIST's strokes

MAX_PIXELS = 16_000_000  # to decode; a JPEG of many more is decoded to fewer
WORK = 640  # pixels, the longest side that a picture is examined at
SMALL = 40  # pixels: a picture up to this size is examined as it is, to its faintest pixel
EVEN = 3  # of 255: paper that varies less is a screen's, or a drawing's
LEAST_CONTRAST = 0.1  # of black on white; anything fainter is taken for blank paper

SIGMA = 1.4826  # standard deviations, of a normal distribution, in its median deviation

NOTHING = "Nothing to read yet: draw a digit, or choose a picture of one."
DAMAGED = "This picture is damaged, or of a kind that is not read."
SEVERAL = "That looks like several digits. One at a time, please."


class NoDigitError(ValueError):
    """There is nothing to read; the message says so to a visitor."""


def to_mnist(image: Image.Image | np.ndarray) -> np.ndarray:
    """Bring a picture of a digit into MNIST's form.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        Any size and mode, dark ink on light paper or light on dark, anywhere in the picture;
        a drawing, a screen, a scan or a photograph. Arrays are uint8 in [0, 255], or float or
        bool in [0, 1]; a fourth channel is alpha. A file that is open but not loaded yet is
        loaded, its first frame, a large JPEG smaller than it is.

    Returns
    -------
    digit : float32 ndarray of shape (28, 28)
        In [0, 1], 0 = paper, 1 = ink. The ink's longer side is 20 pixels, its centre of mass
        within half a pixel of index 14.0 on both axes, unless that would cut off more than
        half a pixel of ink.

    Raises
    ------
    NoDigitError
        If there is nothing, or more than one digit, to read, or the picture is damaged, of more
        than `MAX_PIXELS` pixels, or an array of another shape. The message is fit for the page.
    """
    gray = brightness(read(image))
    ink, threshold, even = find_ink(gray)
    if max(gray.shape) <= SMALL:  # somebody has cropped it already, and its grays are all it has
        return frame(crop(ink))
    return frame(set_pen(find_digit(ink, threshold, even)))


# Brightness


def read(image: Image.Image | np.ndarray) -> np.ndarray:
    """Give the picture, its first frame, upright: uint8 of shape (H, W), (H, W, 3) or (H, W, 4).

    A large one comes smaller, its longest side between half of `WORK` and `WORK`.
    """
    if isinstance(image, np.ndarray):
        return to_bytes(image)
    if isinstance(image, ImageFile.ImageFile):  # a file, not decoded yet
        least = WORK / 2 / max(1, *image.size)
        image.draft(None, tuple(max(1, int(side * least)) for side in image.size))
        refuse_if_large(image)
    try:
        if getattr(image, "n_frames", 1) > 1:
            image.seek(0)
        image.load()
        if image.mode[0] in "IF":  # 16 or 32 bits a pixel, of which few may be in use
            values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
            return to_bytes(shrink((values - values.min()) / max(np.ptp(values), 1e-9)))
        factor = -(-max(image.size) // WORK)  # whole, rounded up: averaging whole pixels is fast
        if factor > 1 and image.mode not in ("1", "P", "PA"):
            image = image.reduce(factor)
        if image.mode != "L":
            has_alpha = image.has_transparency_data
            image = image.convert("L" if image.mode == "1" else "RGBA" if has_alpha else "RGB")
        return np.asarray(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them
        raise NoDigitError(DAMAGED) from error


def refuse_if_large(image: Image.Image) -> None:
    """Raise NoDigitError if a picture has more pixels than are decoded for a visitor."""
    millions = image.width * image.height / 1e6
    if millions > MAX_PIXELS / 1e6:
        raise NoDigitError(
            f"This picture has {millions:.0f} million pixels. "
            f"Up to {MAX_PIXELS / 1e6:.0f} million are read: choose a smaller one."
        )


def to_bytes(array: np.ndarray) -> np.ndarray:
    """Turn an array of numbers in [0, 1], or of integers in [0, 255], into bytes."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise NoDigitError(
            f"A picture is of shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}."
        )
    if array.dtype.kind in "fb":
        array = np.nan_to_num(shrink(array.astype(np.float32))).clip(0, 1) * 255
    return array.clip(0, 255).round().astype(np.uint8)


def shrink(pixels: np.ndarray, longest: int = WORK) -> np.ndarray:
    """Average areas until no side is over `longest`."""
    scale = longest / max(*pixels.shape[:2], 1)
    if scale >= 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def brightness(pixels: np.ndarray) -> np.ndarray:
    """Give a picture's brightness, uint8 of shape (H, W), no side over `WORK`.

    What is transparent becomes the paper that the ink is seen on: white around dark ink,
    black around light ink. Where ink and paper are equally bright, their colours differ, and
    the brightness is that along the line between the two colours.
    """
    pixels = shrink(pixels)
    if pixels.ndim == 2:
        return pixels
    color = np.ascontiguousarray(pixels[..., :3])
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    if alpha is not None and alpha.min() < 255:
        visible = cv2.multiply(gray, alpha, scale=1 / 255)
        covered = cv2.merge([alpha] * 3)
        color = cv2.multiply(color, covered, scale=1 / 255)
        if visible.sum() < alpha.sum() / 2:  # dark ink
            color = cv2.add(color, cv2.bitwise_not(covered))
        gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    sample = color[::4, ::4].reshape(-1, 3)
    if (sample == sample[:, :1]).all():
        return gray
    sample = sample.astype(np.float32) - np.median(border(color), axis=0)
    variances, axes = np.linalg.eigh(sample.T @ sample / len(sample))
    if cv2.meanStdDev(gray)[1].item() ** 2 >= 0.05 * variances[-1]:
        return gray
    along = color @ axes[:, -1]
    return (128 + (along - along.mean()) / 2).clip(0, 255).astype(np.uint8)


def border(pixels: np.ndarray) -> np.ndarray:
    """Give the pixels on the picture's four edges."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


# Ink


def find_ink(gray: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """Give how much ink each pixel holds, and the least amount that is surely ink.

    Ink is what differs from the paper, all of it darker or all of it lighter. Where the border
    of the picture is even, as a drawing's or a screen's is, it shows the paper for all of the
    picture; elsewhere the paper is what is left when everything narrow is taken away.

    Returns
    -------
    ink : float32 ndarray of shape (h, w)
        In [0, 1], 1 = the most that the picture holds; of even paper, only where there is some.
    threshold : float
    even : bool
        Whether the paper is even; otherwise the picture is taken for a photograph.
    """
    edge = border(gray).astype(np.float32)
    paper = float(np.median(edge))
    grain = np.abs(edge - paper)
    small = max(gray.shape) <= SMALL
    even = small or (grain < EVEN).mean() > 0.6
    if even:
        noise = 0.0 if small else 4 * SIGMA * float(np.median(grain)) / 255
        level = np.uint8(paper)
        stands_out = np.maximum(gray, level) - np.minimum(gray, level) > 255 * noise
        left, top, width, height = cv2.boundingRect(stands_out.view(np.uint8))
        if width == 0:
            raise NoDigitError(NOTHING)
        ink = gray[top : top + height, left : left + width] - np.float32(paper)
        ink /= max(255 - paper, 5) if leaning(ink) > 0 else -max(paper, 5)
    else:
        ink = ink_in_uneven_light(gray.astype(np.float32) / 255)
        noise = 4 * SIGMA * float(np.median(np.abs(ink[::3, ::3])))
    ink = np.clip(ink, 0, 1, out=ink)
    contrast = float(ink.max())
    if contrast < max(LEAST_CONTRAST, 1.3 * noise):
        raise NoDigitError(NOTHING)
    seen = ink if even else inner(ink)  # what lies along a photograph's border is the table
    levels = (seen[seen > noise] * 255).astype(np.uint8)
    if not levels.size:
        raise NoDigitError(NOTHING)
    otsu, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)  # parts paper, and lines, from ink
    ink /= contrast
    return ink, max(otsu / 255, noise) / contrast, even


def ink_in_uneven_light(gray: np.ndarray) -> np.ndarray:
    """Give the ink on a sheet that is lit unevenly, about 0 where there is none."""
    gray = cv2.GaussianBlur(gray / np.quantile(gray[::3, ::3], 0.99), (0, 0), 1.2).clip(0, 1)
    # Whether the ink is dark is seen in the middle, against the median around each point.
    levels = (gray * 255).astype(np.uint8)
    small = shrink(levels, 80)
    around = cv2.medianBlur(small, max(small.shape) // 4 | 1)
    # Closing takes away what is dark and narrower than the window, and leaves shadows' edges.
    dark = leaning(inner(small.astype(np.float32) - around)) < 0
    size = max(3, min(gray.shape) // 6)
    window = np.ones((size, size), np.uint8)
    how = cv2.MORPH_CLOSE if dark else cv2.MORPH_OPEN
    sheet = cv2.morphologyEx(levels, how, window) / np.float32(255)
    if dark:
        ink = 1 - gray / np.maximum(sheet, 0.02)
    else:
        ink = (gray - sheet) / np.maximum(1 - sheet, 0.02)
    return ink - np.median(ink[::3, ::3])  # the window finds the brightest, or darkest, grain


def inner(picture: np.ndarray) -> np.ndarray:
    """Give the picture without an eighth of it on each side."""
    top, left = (side // 8 for side in picture.shape)
    return picture[top : picture.shape[0] - top, left : picture.shape[1] - left]


def leaning(difference: np.ndarray) -> float:
    """Tell by its sign to which side, darker or lighter, the strong differences lie."""
    return float((difference * np.abs(difference)).sum())


# The digit


def find_digit(ink: np.ndarray, threshold: float, even: bool) -> np.ndarray:
    """Give the digit's ink, cropped to it, without specks, the table and the like.

    Returns
    -------
    digit : float32 ndarray of shape (h, w)
        0 or 1: NIST's digits were bilevel, too.
    """
    mask = (ink > threshold).view(np.uint8)
    # Grana's algorithm: of OpenCV 5's it alone counts pixels quickly, three times as fast.
    count, labels, boxes, centers = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask, 8, cv2.CV_32S, cv2.CCL_GRANA
    )
    inked = np.flatnonzero(mask.view(bool))  # of bytes it takes ten times as long
    part_of_pixel = labels.ravel()[inked]
    mass = np.bincount(part_of_pixel, np.square(ink.ravel()[inked]), minlength=count)
    main = mass.argmax()
    if not even:
        # In a photograph the digit is a long stroke about the middle; a shadow's corner is
        # broad for its length, and what runs along the border is the table.
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3).ravel()[inked]
        depths = np.bincount(part_of_pixel, depth, minlength=count)
        mean_depth = depths / np.maximum(boxes[:, cv2.CC_STAT_AREA], 1)
        length = mass / np.maximum(mean_depth, 0.5) ** 1.5
        middle = np.array(ink.shape[::-1]) / 2
        distance = np.linalg.norm(centers / middle - 1, axis=1)
        along_border = np.bincount(border(labels), minlength=count)
        mass[along_border > 0.25 * boxes[:, 2:4].max(axis=1)] = 0
        main = (np.sign(mass) * length * (1.2 - distance).clip(0.05)).argmax()
    chosen = choose_parts(boxes[:, :4], mass, main, neighbors_count=even)
    left, top = boxes[chosen, :2].min(axis=0)
    right, bottom = (boxes[chosen, :2] + boxes[chosen, 2:4]).max(axis=0)
    return chosen[labels[top:bottom, left:right]].astype(np.float32)


def choose_parts(boxes: np.ndarray, mass: np.ndarray, main: int, neighbors_count: bool):
    """Tell the parts of the digit whose chief part is `main` from everything else.

    Parameters
    ----------
    boxes : int ndarray of shape (N, 4): left, top, width, height
    mass : ndarray of shape (N,): ink, 0 for what is no part of anything

    Returns
    -------
    chosen : bool ndarray of shape (N,)

    Raises
    ------
    NoDigitError
        If there is another digit, or nothing stands out.
    """
    if mass[main] == 0 or (mass.sum() > 4 * mass[main] and (mass > 0).sum() > 20):
        raise NoDigitError(NOTHING)  # noise, cloth, a page of text
    left, top, width, height = boxes.T
    right, bottom, side = left + width, top + height, np.maximum(width, height)
    # How far each lies beside and below or above the chief part, in its size; < 0: they overlap.
    beside = (np.maximum(left, left[main]) - np.minimum(right, right[main])) / side[main]
    below = (np.maximum(top, top[main]) - np.minimum(bottom, bottom[main])) / side[main]
    gap = np.maximum(beside, below)
    size = side / side[main]

    speck = (size < 0.25) & (gap > 0.1) | (mass < 0.02 * mass[main])
    underline = (width > 4 * height) & (top > bottom[main] - 0.1 * height[main])
    part = (mass > 0) & ~speck & ~underline
    apart = (beside > 0.12) | (below > 0.3)
    if (part & (size > 0.5) & apart & (neighbors_count | (gap < 1))).any():
        raise NoDigitError(SEVERAL)
    part &= gap < 0.3
    part[main] = True
    return part


# The pen


def set_pen(digit: np.ndarray) -> np.ndarray:
    """Make strokes that are thinner or broader than MNIST's as broad as MNIST's."""
    factor = max(digit.shape) / (4 * BOX)
    if factor > 1:
        missing = int(np.ceil(1.5 * factor - pen_breadth(digit)))
        if missing > 0:  # a hairline, that would vanish when the picture is shrunk
            digit = thicken(digit, missing)
        digit = shrink(digit, 4 * BOX)
    side, breadth = max(digit.shape), pen_breadth(digit)
    wanted = np.clip(BOX * breadth / side, *PEN)
    # The digit grows or shrinks by as much as its strokes.
    change = round((wanted * side - BOX * breadth) / (BOX - wanted))
    if change > 0:
        return thicken(digit, change)
    thinner = cv2.erode(margin(digit, 1), disk(max(0, min(-change, int(0.6 * breadth)))))
    return crop(thinner) if thinner.max() > 0.5 else digit


def pen_breadth(digit: np.ndarray) -> float:
    """Give the mean breadth of the strokes in pixels: four times the mean depth of their ink."""
    mask = (margin(digit, 1) > 0.5).view(np.uint8)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    return 4 * float(depth.sum()) / max(1, int(mask.sum())) - 1


def thicken(digit: np.ndarray, by: int) -> np.ndarray:
    return crop(cv2.dilate(margin(digit, by), disk(by)))


def margin(digit: np.ndarray, breadth: int) -> np.ndarray:
    """Put paper around a cropped digit."""
    return cv2.copyMakeBorder(digit, *[breadth] * 4, cv2.BORDER_CONSTANT, value=0)


def disk(growth: int) -> np.ndarray:
    """Give the neighbourhood that makes strokes broader, or thinner, by `growth` pixels."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (growth + 1, growth + 1))


def crop(digit: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


# The frame


def frame(digit: np.ndarray) -> np.ndarray:
    """Size a digit, cropped to its ink, to the 20-pixel box and place it in 28x28 by its mass."""
    scale = BOX / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    # Averaging areas is the anti-aliasing that gives MNIST its greys; it cannot enlarge.
    how = cv2.INTER_AREA if scale <= 1 else cv2.INTER_CUBIC
    digit = cv2.resize(digit, (width, height), interpolation=how).clip(0, 1)

    framed = np.zeros((FRAME, FRAME), np.float32)
    top, left = place(digit.sum(axis=1)), place(digit.sum(axis=0))
    framed[top : top + height, left : left + width] = digit
    # Where the frame's edge kept a lopsided digit from its place, half a pixel may leave it.
    missing = CENTER - np.array([center(framed.sum(axis=0)), center(framed.sum(axis=1))])
    if np.abs(missing).max() > 0.5:
        shift = np.sign(missing) * (np.abs(missing) - 0.35).clip(0, 0.5)
        framed = cv2.warpAffine(framed, np.column_stack([np.eye(2), shift]), framed.shape)
    return framed


def center(mass: np.ndarray) -> float:
    """Give the index at which a profile of mass has its centre."""
    return float((mass * np.arange(len(mass))).sum() / mass.sum())


def place(mass: np.ndarray) -> int:
    """Give the first index at which a profile, once in the frame, has its centre nearest 14."""
    return int(np.clip(round(CENTER - center(mass)), 0, FRAME - len(mass)))
