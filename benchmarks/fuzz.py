"""Decode altered files, and check that no pixel comes from memory of another visitor's picture.

    python benchmarks/fuzz.py

The script alters, cuts and splices small files of each kind. Two processes decode them, in opposite
orders. glibc fills memory that it allocates or frees with 17 in one process, with 195 in the other
(MALLOC_PERTURB_). So pixels from uninitialized memory differ. The script needs Linux, and fails if
a picture differs or a file crashes a process.
"""

import argparse
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from freed_memory import pictures

from page.decode import SIGNATURES

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F", "CMYK", "YCbCr")
OPTIONS = {  # Pillow's options by kind; each is combined with each mode
    "PNG": [{}, {"save_all": True}, {"interlace": 1}, {"exif": b"MM\0*\0\0\0\x08\0\0"}],
    "JPEG": [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"quality": 100}],
    "WEBP": [{}, {"lossless": True}, {"save_all": True}],
    "GIF": [{}, {"save_all": True}, {"interlace": 0}],
    "BMP": [{}],
    "TIFF": [{"compression": name} for name in ("packbits", "tiff_lzw", "tiff_adobe_deflate")]
    + [{}, {"strip_size": 64}, {"compression": "tiff_lzw", "strip_size": 64}],
    "AVIF": [{"speed": 10}, {"speed": 10, "save_all": True}],
    "PPM": [{}],
}
ONLY = {  # TIFF options with which Pillow crashes in other modes
    "1": [{"compression": name} for name in ("group3", "group4", "tiff_ccitt")],
    "L": [{"compression": "jpeg"}],
    "RGB": [{"compression": "jpeg"}],
}
RUNS = (  # run-length encoded BMPs of 8 and 4 bits, which Pillow doesn't write
    b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, 24, 18, 1, 8, 1, 0, 0, 0, 256, 0)
    + bytes(range(256)) * 4 + b"\x09\x07\0\x05abcde\0\0\0\0\x03\x08\0\2\3\1" * 9 + b"\0\1",
    b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 118, 40, 24, 18, 1, 4, 2, 0, 0, 0, 16, 0)
    + bytes(range(64)) + b"\x09\x17\0\x05abc\0\0\0\x03\x18\0\2\3\1" * 9 + b"\0\1",
)  # fmt: skip


def seeds(kind: str) -> list[bytes]:
    """Return small files of a kind, in each mode and compression that Pillow writes."""
    files = list(RUNS) if kind == "BMP" else []
    for size in ((24, 18), (61, 40)):
        noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
        image = Image.fromarray(noise).point(lambda gray: 255 * (gray > 140))
        other = image.rotate(180)
        for mode in MODES:
            for options in OPTIONS[kind] + (ONLY.get(mode, []) if kind == "TIFF" else []):
                out = io.BytesIO()
                more = {"append_images": [other.convert(mode)]} if "save_all" in options else {}
                try:
                    image.convert(mode).save(out, kind, **options, **more)
                except (OSError, ValueError, KeyError):  # the kind lacks this mode
                    continue
                files.append(out.getvalue())
    if kind == "PPM":
        files += [
            b"P%d 9 7 %s\n" % (n, b"" if n == 1 else b"200") + b"1 0 17 " * 70 for n in (1, 2, 3)
        ]
    return files


def altered(files: list[bytes], random: np.random.Generator) -> bytes:
    """Return a file with bytes changed, cut off, or replaced by another file's."""
    content = bytearray(files[random.integers(len(files))])
    for _ in range(random.integers(1, 3)):
        near = min(len(content), 120 if random.random() < 0.5 else len(content))  # often the header
        place = random.integers(near) if near else 0
        match random.integers(6):
            case 0:
                content[place : place + 1] = random.bytes(1)
            case 1:
                content[place : place + 4] = random.bytes(4)
            case 2:
                content[place : place + 2] = struct.pack("<H", random.integers(1, 200))
            case 3:
                content[place : place + 2] = struct.pack(">H", random.integers(1, 200))
            case 4:
                del content[random.integers(len(content) + 1) :]
            case 5:
                other = files[random.integers(len(files))]
                content[place:] = other[random.integers(len(other)) :]
    return with_checksums(bytes(content)) if random.random() < 0.8 else bytes(content)


def with_checksums(data: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks, so that decoders read them."""
    if not data.startswith(b"\x89PNG"):
        return data
    place, parts = 8, [data[:8]]
    while place + 8 <= len(data):
        body = data[place + 4 : place + 8 + int.from_bytes(data[place : place + 4], "big")]
        parts += [data[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 8 + len(body)
    return b"".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=20_000, help="files per kind (%(default)s)")
    parser.add_argument("--kinds", nargs="+", default=list(SIGNATURES), choices=SIGNATURES)
    parser.add_argument("--seed", type=int, default=0, help="alter files by it (%(default)s)")
    arguments = parser.parse_args()
    print("| kind | altered files | read | refused | differ | slowest s |")
    print("| --- | --- | --- | --- | --- | --- |")
    differ = 0
    for kind in arguments.kinds:
        random = np.random.default_rng(arguments.seed)
        whole = seeds(kind)
        files = [altered(whole, random) for _ in range(arguments.files)]
        first, second = pictures(files, 17), pictures(files, 195, -1)
        wrong = sum(a[0] != b[0] for a, b in zip(first, second, strict=True))
        read = sum(bool(digest) for digest, _ in first)
        slowest = max(seconds for _, seconds in first + second)
        cells = kind, len(files), read, len(files) - read, wrong, f"{slowest:.2f}"
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
        differ += wrong
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
