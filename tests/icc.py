"""Small colour profiles, made by hand from the ICC specification: tables that say which colour a number means."""

import struct
from itertools import product

WHITE = (0.9642, 1.0, 0.8249)  # D50


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"made by hand\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"cprt": b"text" + bytes(4) + b"CC0\0",
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*WHITE),
        **tags,
    }
    offset, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", offset + len(data), len(content))
        data += content
    size = offset + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*WHITE)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def display_p3() -> bytes:
    """RGB with Display P3's primaries, adapted to D50, and a gamma of 2.2."""
    columns = {b"rXYZ": (0.5151, 0.2412, -0.0011), b"gXYZ": (0.2920, 0.6922, 0.0419), b"bXYZ": (0.1571, 0.0666, 0.7841)}
    tags = {tag: b"XYZ " + bytes(4) + _fixed(*xyz) for tag, xyz in columns.items()}
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256))
    return _profile(b"RGB ", b"XYZ ", b"mntr", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def press(cyan: tuple[int, int, int]) -> bytes:
    """CMYK whose paper is white, whose full cyan is the colour `cyan` in Lab (0-100, -128..127), all else black."""
    known = {(0, 0, 0, 0): (100, 0, 0), (1, 0, 0, 0): cyan}
    colours = [known.get(ink, (0, 0, 0)) for ink in product((0, 1), repeat=4)]
    grid = b"".join(bytes((round(light * 2.55), a + 128, b + 128)) for light, a, b in colours)
    matrix = _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + 4 * ramp + grid + 3 * ramp
    return _profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": lut})
