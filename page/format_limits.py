"""What each format of picture may ask of its decoder, counted in the file's own bytes.

Each function takes a file and returns what Pillow (12.3) is to be given of it, or raises
TooCostlyError. The limits lie well above what cameras, scanners and phones write. A file that is
merely broken passes: Pillow finds that out itself.
"""

import re
import struct
from collections.abc import Callable

MAX_SCANS = 100  # of a JPEG; libjpeg-turbo's own programs advise as many, cameras write 10
MAX_JPEG_WORK = 1_000_000_000  # pixels × colours, summed over the scans: about a second
MAX_SEGMENTS = 10_000  # of a JPEG
MAX_JUNK = 65_536  # bytes between a JPEG's segments, which are skipped one at a time
MAX_PAGES = 1000  # of a TIFF
MAX_TAGS = 500  # of a page
MAX_VALUES = 50_000  # of a tag, each of which becomes an object; also the strips of a page
MAX_CHUNKS = 50_000  # of a PNG
MAX_BLOCKS = 20_000  # of 255 bytes, before a GIF's first frame
MAX_COMMENT = 65_536  # bytes; a GIF's comment is copied anew for each block of it
MAX_SLOW_PIXELS = 1_000_000  # where the pixels are read in Python


class TooCostlyError(ValueError):
    """To decode the file would take too much time or memory."""


def limit(count: int, most: int, what: str) -> None:
    """Raise TooCostlyError if there are more than `most`."""
    if count > most:
        raise TooCostlyError(f"more than {most} {what}: {count}")


# JPEG

MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)  # but for those within a scan
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, END = 0xDA, 0xD9
WITHOUT_LENGTH = {0x01, 0xD8, END}


def limit_jpeg(data: bytes) -> bytes:
    """Count the segments, and how often each pixel's block is visited."""
    place, segments, junk, scans, pixels, passes, exif = 2, 0, 0, 0, 0, 0, b""
    while found := MARKER.search(data, place):
        marker, start = found[1][0], found.end()
        if marker == END and scans:
            break  # what follows, a second picture or a film, is not read
        segments += 1
        junk += 0 if scans else found.start() - place
        limit(segments, MAX_SEGMENTS, "segments")
        limit(junk, MAX_JUNK, "bytes between segments")
        place = start
        if marker in WITHOUT_LENGTH:
            continue
        place += max(2, int.from_bytes(data[start : start + 2], "big"))
        body = data[start + 2 : place]
        if marker in START_OF_FRAME and len(body) >= 5:
            height, width = struct.unpack_from(">HH", body, 1)
            pixels = max(pixels, height * width)
        elif marker == START_OF_SCAN and body:
            scans, passes = scans + 1, passes + body[0]
            limit(scans, MAX_SCANS, "scans")
            # One scan takes no longer than its bytes; its pixels are counted with all pictures'.
            limit(passes * pixels if scans > 1 else 0, MAX_JPEG_WORK, "pixels in its scans")
        elif body.startswith(b"Exif\0\0"):
            exif += body[6:]  # Pillow puts the pieces together, too
        elif body.startswith(b"MPF\0"):
            limit_tags(body[4:])
    limit(junk + (0 if scans else len(data) - place), MAX_JUNK, "bytes between segments")
    limit_tags(exif)
    return data


# TIFF, and the tags that other formats have of it

VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
VALUE_SIZES[16] = 8
SUBDIRECTORIES = {34665, 34853, 40965}  # Exif, GPS, interoperability: Pillow reads them, too


def limit_tiff(data: bytes) -> bytes:
    """Count the pages, their tags and strips."""
    limit_tags(data)
    return data


def limit_tags(data: bytes) -> None:
    """Count the tags of each directory in a TIFF file, or in Exif data, and all of their bytes.

    In an honest file each byte belongs to one tag at most, so that all tags together are no
    longer than the file.
    """
    heads = len(re.match(rb"(?:Exif\0\0)*", data)[0]) // 6
    limit(heads, 8, "heads")  # Pillow copies the data for each
    data = data[6 * heads :]
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return
    big = data[2] == 43  # BigTIFF, as Pillow tells it
    count_form, tag_form, link_form = ("Q", "HHQQ", "Q") if big else ("H", "HHLL", "L")
    inline = struct.calcsize(order + link_form)
    pending = [*struct.unpack_from(order + link_form, data.ljust(16), 8 if big else 4)]
    seen, total = set(), 0
    while pending:
        place = pending.pop()
        if place in seen or not 0 < place < len(data):
            continue
        seen.add(place)
        limit(len(seen), MAX_PAGES, "pages")
        try:
            (tags,) = struct.unpack_from(order + count_form, data, place)
            limit(tags, MAX_TAGS, "tags")
            place += struct.calcsize(order + count_form)
            for _ in range(tags):
                number, kind, values, value = struct.unpack_from(order + tag_form, data, place)
                place += struct.calcsize(order + tag_form)
                size = VALUE_SIZES.get(kind, 0)
                limit(values if size > 1 else 0, MAX_VALUES, "values of a tag")
                total += size * values if size * values > inline else 0
                limit(total, len(data), "bytes in tags")
                if number in SUBDIRECTORIES:
                    pending.append(value)
            pending += struct.unpack_from(order + link_form, data, place)
        except struct.error:  # cut off, here
            continue


# The others

PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def limit_png(data: bytes) -> bytes:
    """Return a PNG with the chunks that its pixels, and their direction, are in, and no other.

    Texts and profiles unpack to a thousand times their size, and what an animation shows first
    is in those chunks.
    """
    place, chunks, kept = 8, 0, [data[:8]]
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        chunk = slice(place, place + 12 + length)
        chunks += 1
        limit(chunks, MAX_CHUNKS, "chunks")
        if kind == b"eXIf":
            limit_tags(data[place + 8 : place + 8 + length])
        if kind in PIXEL_CHUNKS or kind == b"eXIf":
            kept.append(data[chunk])
        if kind == b"IEND":
            break
        place = chunk.stop
    return b"".join(kept)


def limit_gif(data: bytes) -> bytes:
    """Count the blocks before the first frame, and the bytes of comments there."""
    if len(data) < 13:
        return data
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0)
    blocks = comment = 0
    while data[place : place + 1] == b"!":
        is_comment = data[place + 1 : place + 2] == b"\xfe"
        place += 2
        while place < len(data) and (length := data[place]):
            place += 1 + length
            blocks += 1
            comment += length if is_comment else 0
            limit(blocks, MAX_BLOCKS, "blocks before the first frame")
            limit(comment, MAX_COMMENT, "bytes of comments")
        place += 1
        blocks += 1
    return data if data[place : place + 1] == b"," else b""  # else Pillow seeks the frame bytewise


def limit_webp(data: bytes) -> bytes:
    """Count the chunks, and the tags."""
    place, chunks = 12, 0
    while place + 8 <= len(data) and chunks < MAX_CHUNKS:
        kind, length = struct.unpack_from("<4sI", data, place)
        if kind == b"EXIF":
            limit_tags(data[place + 8 : place + 8 + length])
        place += 8 + length + length % 2
        chunks += 1
    limit(chunks, MAX_CHUNKS - 1, "chunks")
    return data


def limit_bmp(data: bytes) -> bytes:
    """Count the pixels of one that is stored in runs, which Pillow reads in Python."""
    if len(data) >= 34 and int.from_bytes(data[14:18], "little") >= 40:
        width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
        if compression in (1, 2):
            limit(abs(width * height), MAX_SLOW_PIXELS, "pixels in runs")
            limit(len(data), MAX_SLOW_PIXELS, "bytes of runs")
    return data


SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
PPM_HEAD = re.compile(SPACE.join([rb"P([1-6f])", rb"(\d{1,9})", rb"(\d{1,9})", rb"(\d*)"]))


def limit_ppm(data: bytes) -> bytes:
    """Count the pixels where Pillow reads each in Python: words, or an odd number of levels."""
    head = PPM_HEAD.match(data[:4096])
    if head is None:
        return b""
    kind, *sizes, levels = head.groups()
    in_words = kind in b"123"
    odd = kind in b"56" and levels not in (b"255", b"65535")
    if in_words or odd or (kind == b"6" and levels != b"255"):
        limit(int(sizes[0]) * int(sizes[1]), MAX_SLOW_PIXELS, "pixels that are read in Python")
        limit(len(data) if in_words else 0, 12 * MAX_SLOW_PIXELS, "bytes of words")
    return data


LIMITS: dict[str, Callable[[bytes], bytes]] = {
    "PNG": limit_png,
    "JPEG": limit_jpeg,
    "WEBP": limit_webp,
    "GIF": limit_gif,
    "BMP": limit_bmp,
    "TIFF": limit_tiff,
    "AVIF": lambda data: data,  # its decoder counts itself, and refuses more than 2^28 pixels
    "PPM": limit_ppm,
}
