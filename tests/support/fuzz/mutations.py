"""Damaged and hostile versions of valid files, drawn from a seed: of any bytes, and of formats."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Mutation = Callable[[np.random.Generator, bytes], bytes]
"""A generator of random numbers and valid content, to content that may be damaged."""


def mutated_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """Some bytes changed (in the head as often as elsewhere), repeated, removed, cut off or made zero to the end."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        end = min(len(out), 200) if rng.random() < 0.5 else len(out)
        place = int(rng.integers(0, max(end, 1)))
        kind = rng.integers(0, 8)
        if kind <= 1:
            out[place : place + 1] = bytes([int(rng.integers(0, 256))])
        elif kind == 2 and place < len(out):
            out[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 3:
            width = int(rng.choice([2, 4, 8]))
            out[place : place + width] = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * width
        elif kind == 4:
            out[place:place] = bytes(out[place : place + int(rng.integers(1, 40))])
        elif kind == 5:
            out[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 20)), dtype=np.uint8))
        elif kind == 6:
            del out[place : place + int(rng.integers(1, 40))]
        elif rng.random() < 0.3:
            out[place:] = bytes(len(out) - place)
    return bytes(out[: rng.integers(0, len(out) + 1)] if rng.random() < 0.2 else out)


VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 3.5, 1e308, -0.0, 1e-320, 2**31, 2**63, 10**30, -(10**30)),
    *("", "x", "..", "../../x", "/nowhere/x", "con", "nul", "a\0b", "a\nb", "=1+1", "{x}", "\ud800", "e\u0301"),
    *("x" * 10_000, "0", "0.5", "true", "null", [], {}, [[]], {"x": {}}, [1, 2, 3], ["x"], [None], [1e308, -1]),
)
"""What takes the place of values in JSON: other types, and numbers and texts at the limits of what one expects."""
RAW = ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5_000, "[" * 30_000, '{"x":' * 30_000)
"""The same, as Python's json never writes it."""
_PLACE = "<raw {}>"


def mutated_json(rng: np.random.Generator, content: bytes) -> bytes:
    """One to three values, or keys, of a JSON text exchanged, removed, added or moved; or some bytes changed."""
    if rng.random() < 0.15:
        return mutated_bytes(rng, content)
    values = {"": json.loads(content)}
    for _ in range(rng.integers(1, 4)):
        _change(rng, values)
    text = json.dumps(values[""], ensure_ascii=bool(rng.random() < 0.8))
    for number, raw in enumerate(RAW):
        text = text.replace(json.dumps(_PLACE.format(number)), raw)
    return text.encode("utf-8", errors="surrogatepass")


def mutated_json_lines(rng: np.random.Generator, content: bytes) -> bytes:
    """Lines of JSON changed, repeated, exchanged, removed or torn; or zero bytes at the end; or some bytes changed."""
    lines = content.split(b"\n")[:-1]
    kind = rng.integers(0, 8)
    place, other = (int(number) for number in rng.integers(0, len(lines), 2))
    if kind <= 3:
        lines[place] = mutated_json(rng, lines[place])
    elif kind == 4:
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == 5:
        lines.insert(other, lines[place])
    elif kind == 6:
        return content[: int(rng.integers(0, len(content)))] + bytes(int(rng.integers(0, 600)))
    else:
        return mutated_bytes(rng, content)
    return b"\n".join(lines) + b"\n"


FIELDS = (
    *("", " ", "0", "1", "-1", "2", "7", "nan", "inf", "-inf", "1e400", "1_0", "٣", "0x1", "1.5", "9" * 5_000, "live"),
    *("print", "x" * 10_000, "..", "../x.png", "/x.png", "./1.png", "a//b.png", "con", "=1+1", "@x", '"', '"x', "\0"),
    *("a\nb", "\r", "\ufeff", "{x}", "e\u0301.png", "\u202e", "true", "None", "\\", "a\\b.png", "C:x"),
)
"""What takes the place of fields in tables and lists."""


def mutated_table(separator: str) -> Mutation:
    """Fields and lines of a text exchanged, removed, repeated or replaced; or some bytes changed."""

    def mutation(rng: np.random.Generator, content: bytes) -> bytes:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return mutated_bytes(rng, content)
        if rng.random() < 0.3:
            return mutated_bytes(rng, content)
        lines = text.split("\n")
        for _ in range(rng.integers(1, 4)):
            place, other = (int(number) for number in rng.integers(0, len(lines), 2))
            fields = lines[place].split(separator)
            field, second = (int(number) for number in rng.integers(0, len(fields), 2))
            kind = rng.integers(0, 8)
            if kind <= 3:
                fields[field] = str(rng.choice(FIELDS))
            elif kind == 4:
                fields[field], fields[second] = fields[second], fields[field]
            elif kind == 5:
                del fields[field]
            elif kind == 6:
                lines[place], lines[other] = lines[other], lines[place]
                continue
            else:
                lines.insert(other, lines[place])
                continue
            lines[place] = separator.join(fields)
        return "\n".join(lines).encode("utf-8")

    return mutation


def mutated_gzip(inner: Mutation) -> Mutation:
    """Bytes of a gzip file, or its content by `inner`."""

    def mutation(rng: np.random.Generator, content: bytes) -> bytes:
        if rng.random() < 0.3:
            return mutated_bytes(rng, content)
        return gzip.compress(inner(rng, gzip.decompress(content)), compresslevel=1, mtime=0)

    return mutation


def _change(rng: np.random.Generator, values: dict[str, Any]) -> None:
    """Change one value, or key, somewhere inside of nested objects and lists."""
    places = list(_places(values))
    holder, key = places[int(rng.integers(0, len(places)))]
    kind = rng.integers(0, 10)
    if kind <= 4:
        choice = int(rng.integers(0, len(VALUES) + len(RAW)))
        holder[key] = VALUES[choice] if choice < len(VALUES) else _PLACE.format(choice - len(VALUES))
    elif kind == 5 and key != "":
        del holder[key]
    elif kind == 6:
        other, second = places[int(rng.integers(0, len(places)))]
        holder[key] = json.loads(json.dumps(other[second]))
    elif kind == 7 and isinstance(holder, dict) and key != "":
        holder[key + str(rng.choice(["", "_", "\0", " "]))] = holder.pop(key)
    elif kind == 8 and isinstance(holder, dict):
        holder[str(rng.choice(["x", "", "seed", "plugins", "step", "__class__"])) if holder is not values else ""] = 1
    elif isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = holder[key] * rng.choice([-1, 2, 10, 1000]).item() + int(rng.integers(-1, 2))
    elif isinstance(holder[key], list):
        holder[key] = holder[key] * 2
    elif isinstance(holder[key], str):
        holder[key] = holder[key][1:]


def _places(value: Any) -> "list[tuple[Any, Any]]":
    """Every holder and key in nested objects and lists."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = []
    for key in keys:
        found += [(value, key), *_places(value[key])]
    return found
