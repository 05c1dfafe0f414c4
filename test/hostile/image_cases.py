"""Images and labels: what decoders are given by cameras, bags and folders."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from random import Random

import cv2
import numpy as np
from case import Case, Families, Family, listed, sound
from judging import Judge
from mutation import Field, spoilt_bytes

from selfocc_core.image_decoding import decode_image_file

LARGEST_PIXELS = 64 * 10**6


def decoding(words: str, data: bytes) -> Case:
    def run(judge: Judge) -> None:
        with judge.entry('decode_image_file'):
            image = decode_image_file(np.frombuffer(data, np.uint8))
            assert image is None or _is_image(image)

    return Case(words, run)


def _is_image(image: np.ndarray) -> bool:
    height, width, channels = image.shape
    return channels == 3 and image.dtype == np.uint8 and 0 < height * width <= LARGEST_PIXELS


@cache
def picture(kind: str) -> bytes:
    """Return a sound file of a small picture."""
    noise = np.random.default_rng(4).integers(0, 255, (24, 40, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    grey = smooth[..., 0] // 30
    image, suffix, options = {
        'jpeg': (smooth, '.jpg', []),
        'jpeg-progressive': (smooth, '.jpg', [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        'jpeg-restarts': (smooth, '.jpg', [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]),
        'png': (smooth, '.png', []),
        'png-labels': (grey, '.png', []),
        'png-16': (smooth.astype(np.uint16) * 257, '.png', []),
    }[kind]
    return bytes(cv2.imencode(suffix, image, options)[1])


KINDS = ('jpeg', 'jpeg-progressive', 'jpeg-restarts', 'png', 'png-16')


def _spoilt_picture(number: int, random: Random, folder: Path) -> Case:
    kind = KINDS[number % len(KINDS)]
    data = picture(kind)
    words, spoilt = spoilt_bytes(data, random, picture_fields(data) if number % 2 else ())
    if kind.startswith('png') and random.random() < 0.7:
        spoilt = with_checksums(spoilt)
        words = f'{words}, with right checksums'
    return decoding(f'{kind}: {words}', spoilt)


def picture_fields(data: bytes) -> list[Field]:
    """Return where the lengths and sizes of a PNG or JPEG file lie."""
    if data.startswith(b'\x89PNG'):
        fields = [(16, 4), (20, 4), (24, 1), (25, 1), (26, 1), (28, 1)]
        for place, size in _png_chunks(data):
            fields += [(place, 4), (place + 4, 4), (place + 8 + size, 4)]
        return fields
    fields, place = [], 2
    while data[place] == 0xFF and data[place + 1] != 0xDA:
        (size,) = struct.unpack_from('>H', data, place + 2)
        fields += [(place + 1, 1), (place + 2, 2)]
        if data[place + 1] in {0xC0, 0xC2}:
            fields += [(place + offset, 2) for offset in (5, 7)] * 3 + [(place + 9, 1)]
        place += 2 + size
    return fields


def _png_chunks(data: bytes) -> list[Field]:
    """Return where each chunk begins, and the length of its content."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        (size,) = struct.unpack_from('>I', data, place)
        if place + 12 + size > len(data):
            break
        chunks.append((place, size))
        place += 12 + size
    return chunks


def with_checksums(data: bytes) -> bytes:
    """Return a PNG file whose chunks have the checksums of what is in them."""
    result = bytearray(data)
    for place, size in _png_chunks(data):
        crc = zlib.crc32(result[place + 4 : place + 8 + size])
        struct.pack_into('>I', result, place + 8 + size, crc)
    return bytes(result)


def png(width: int, height: int, depth: int = 8, color: int = 2, pixels: bytes = b'') -> bytes:
    """Return a PNG file that says any size."""
    header = struct.pack('>IIBBBBB', width, height, depth, color, 0, 0, 0)
    chunks = (b'IHDR', header), (b'IDAT', zlib.compress(pixels)), (b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack('>I', zlib.crc32(kind + content))
    return struct.pack('>I', len(content)) + kind + content + crc


def _png_with(kind: bytes, content: bytes) -> bytes:
    data = picture('png')
    return data[:33] + _chunk(kind, content) + data[33:]


def jpeg(width: int, height: int, kind: str = 'jpeg') -> bytes:
    """Return a small JPEG file that says any size."""
    data = bytearray(picture(kind))
    place = max(data.find(b'\xff\xc0'), data.find(b'\xff\xc2'))
    struct.pack_into('>HH', data, place + 5, height, width)
    return bytes(data)


def _many_scans(count: int) -> bytes:
    """Return a progressive JPEG of 36 megapixels, each scan of which says nothing more."""
    data = jpeg(6000, 6000, 'jpeg-progressive')
    scan = b'\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10\x00'
    return data[: data.rindex(b'\xff\xd9')] + scan * count + b'\xff\xd9'


def _encoded(suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, np.zeros((8, 8, 3), np.float32))[1])


def _given(data: Callable[[], bytes]) -> Callable[[Path], Case]:
    return lambda _: decoding('', data())


_SIZES = ((1, 1), (65535, 65535), (65500, 65500), (30000, 30000), (0, 0), (1, 65535), (8001, 8000))
_LISTED: dict[str, Callable[[Path], Case]] = {
    **{f'a PNG of {w}x{h}': _given(partial(png, w, h)) for w, h in _SIZES},
    **{f'a JPEG of {w}x{h}': _given(partial(jpeg, w, h)) for w, h in _SIZES},
    **{
        f'a progressive JPEG of {w}x{h}': _given(partial(jpeg, w, h, 'jpeg-progressive'))
        for w, h in _SIZES
    },
    'a PNG of 2^31 columns': _given(partial(png, 2**31, 1)),
    'a PNG whose size overflows': _given(partial(png, 2**32 - 1, 2**32 - 1)),
    'a PNG that unpacks to 256 MiB': _given(lambda: png(9000, 10_000, 8, 2, bytes(2**28))),
    'a PNG whose pixels unpack to more than it has': _given(
        lambda: png(16, 16, 8, 2, bytes(2**27))
    ),
    'a PNG with 64 MiB of text': _given(
        lambda: _png_with(b'zTXt', b'key\0\0' + zlib.compress(bytes(2**26)))
    ),
    'a PNG with a profile of 64 MiB': _given(
        lambda: _png_with(b'iCCP', b'key\0\0' + zlib.compress(bytes(2**26)))
    ),
    'a PNG that moves': _given(lambda: _png_with(b'acTL', struct.pack('>II', 2**31 - 1, 0))),
    'a JPEG of 2000 scans': _given(partial(_many_scans, 2000)),
    'nothing': _given(lambda: b''),
    'a byte': _given(lambda: b'\xff'),
    'a JPEG that only begins': _given(lambda: b'\xff\xd8\xff\xd9'),
    'a JPEG without end': _given(lambda: b'\xff\xd8' + b'\xff' * 10**6 + b'\xff\xd9'),
    'a JPEG whose segment has no length': _given(lambda: b'\xff\xd8\xff\xe0\x00\x00\xff\xd9'),
    'a file that only begins as PNG': _given(lambda: b'\x89PNG IEND'),
    'a Radiance picture': _given(partial(_encoded, '.hdr')),
    'a TIFF of floats': _given(partial(_encoded, '.tiff')),
    'a bitmap of 32000x32000': _given(
        lambda: (
            b'BM' + struct.pack('<IIIIiiHHIIIIII', 90, 0, 54, 40, 32000, 32000, 1, 24, *[0] * 6)
        )
    ),
    'a pixmap of 32000x32000': _given(lambda: b'P6\n32000 32000\n255\n' + bytes(100)),
    'a web page': _given(lambda: b'<html>' * 1000),
}


def _sound_picture(kind: str, folder: Path) -> Case:
    def run(judge: Judge) -> None:
        with judge.entry('decode_image_file'):
            image = decode_image_file(np.frombuffer(picture(kind), np.uint8))
            assert image is not None
            assert image.shape == (24, 40, 3)

    return Case('', run)


_SOUND: dict[str, Callable[[Path], Case]] = {k: partial(_sound_picture, k) for k in KINDS}

FAMILIES: Families = {
    'sound-picture': sound(_SOUND),
    'picture': Family(_spoilt_picture, 300),
    'image': listed(_LISTED),
}
