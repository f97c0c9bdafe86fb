"""Throw damaged and made-up pictures at `to_mnist`: it answers, or raises NoDigitError.

    python benchmarks/fuzz.py --minutes 10

Seeds of every format that Pillow writes are cut, altered and spliced; arrays of every type and
shape are made up. Whatever else happens is printed with the seed that repeats it, ten times at
most.
"""

import argparse
import ctypes
import gc
import io
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from serving import pss_memory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reading.preprocess import NoDigitError, to_mnist

warnings.simplefilter("ignore")
KINDS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "PCX", "TGA", "ICO", "SGI", "DDS")
DTYPES = (np.uint8, np.float32, np.float64, bool, np.int32, np.uint16)


def seeds() -> list[bytes]:
    """Return small files of every format and mode that Pillow writes."""
    files = []
    for side in (20, 48):
        image = Image.effect_noise((side, side), 60).point(lambda gray: 255 * (gray > 140))
        for kind in KINDS:
            for mode in ("L", "RGB", "RGBA", "P", "1"):
                out = io.BytesIO()
                try:
                    image.convert(mode).save(out, kind)
                except (OSError, ValueError, KeyError):  # not every format has every mode
                    continue
                files.append(out.getvalue())
    return files


def damaged(files: list[bytes], random) -> Image.Image | None:
    """Open a seed with some of its bytes changed, cut, or another's; None if it is no picture."""
    content = bytearray(files[random.integers(len(files))])
    for _ in range(random.integers(1, 6)):
        place = random.integers(len(content))
        what = random.integers(4)
        if what == 0:
            content[place] = random.integers(256)
        elif what == 1:
            content[place : place + 4] = random.bytes(4)
        elif what == 2:
            del content[place:]
        else:
            other = files[random.integers(len(files))]
            content[place:] = other[random.integers(len(other)) :]
        if not content:
            return None
    try:
        return Image.open(io.BytesIO(bytes(content)))
    except Exception:  # whatever Pillow says: the page answers it before to_mnist is asked
        return None


def made_up(random) -> np.ndarray:
    """Make up an array: noise, lines, constants, no numbers, odd shapes."""
    shape = tuple(random.integers(0 if random.random() < 0.02 else 1, 60, 2))
    if random.random() < 0.4:
        shape += (int(random.choice([1, 2, 3, 4, 5])),)
    kind = random.integers(4)
    array = random.normal(0.5, 1, shape) if kind == 0 else np.full(shape, random.random())
    if kind == 2 and array.size:
        array.flat[random.integers(array.size, size=5)] = random.choice([np.nan, np.inf, -1e30])
    if kind == 3 and array.size:
        array[array.shape[0] // 3 : array.shape[0] // 2] = 1 - array[:1]
    dtype = DTYPES[random.integers(len(DTYPES))]
    with np.errstate(all="ignore"):
        return (array * (255 if dtype == np.uint8 else 1)).astype(dtype)


def held() -> float:
    """Return the process's memory (MB), without what the C library (glibc) only keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return pss_memory(os.getpid())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first input (%(default)s)")
    arguments = parser.parse_args()
    files = seeds()
    ends = time.monotonic() + 60 * arguments.minutes
    counts = {"read": 0, "no digit": 0, "not opened": 0, "failed": 0}
    seed = arguments.seed
    early = None
    while time.monotonic() < ends:
        random = np.random.default_rng(seed)
        picture = damaged(files, random) if seed % 2 else made_up(random)
        outcome = "not opened"
        if picture is not None:
            try:
                digit = to_mnist(picture)
                assert digit.shape == (28, 28) and digit.dtype == np.float32
                assert digit.min() >= 0 and digit.max() <= 1
                outcome = "read"
            except NoDigitError:
                outcome = "no digit"
            except Exception:
                outcome = "failed"
                if counts["failed"] < 10:
                    print(f"seed {seed}:\n{traceback.format_exc()}", file=sys.stderr)
        counts[outcome] += 1
        seed += 1
        if seed - arguments.seed == 10_000:
            early = held()
    total = seed - arguments.seed
    print(f"{total} inputs: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    if early:
        print(f"memory after 10,000: {early:.0f} MB, at the end {held():.0f} MB")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
