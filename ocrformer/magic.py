"""Which files claim to be pictures, by their first bytes."""

from __future__ import annotations

import re

_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"GIF8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP")


_SCAN = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e]")
"""Start of a scan of one to four components, with the length that it then has: what follows a picture (a film, for
instance) holds the marker alone once in 64 KB."""

_GAP = rb"(?:\s|#[^\n]*\n)+"
_PORTABLE = re.compile(rb"P(?:[14](?:%b\d+){2}|[2356](?:%b\d+){3})\s" % (_GAP, _GAP))
"""Header of a PBM, PGM or PPM: sizes, and the brightest value; "P2 35" may begin a text."""

ENDINGS = tuple(".png .jpg .jpeg .tif .tiff .bmp .webp .gif .jp2 .avif .heic .pbm .pgm .ppm".split())
"""How names of pictures end, where content does not decide."""


def looks_like_image(head: bytes) -> bool:
    """Whether a file that begins so (512 bytes suffice) claims to be a picture, in a supported format or HEIC."""
    boxed = (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:12] in (b"ftypavif", b"ftypavis")
    bitmap = head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"
    return head.startswith(_MAGIC) or bool(_PORTABLE.match(head)) or boxed or bitmap or is_heic(head)


def scans(data: bytes) -> int:
    """How many passes a JPEG makes over its picture (0 if it is none): each takes as long as a whole ordinary one."""
    return len(_SCAN.findall(data)) if data.startswith(b"\xff\xd8\xff") else 0


def is_heic(head: bytes) -> bool:
    """Whether a file that begins so is a photo as telephones keep it, in a format that is not supported."""
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
