"""Frozen dataclasses as configuration, from and to plain dictionaries and JSON files; unknown keys are refused."""

import dataclasses
import json
import math
import os
import secrets
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ASSETS = Path(__file__).resolve().parent / "assets"
"""Folder of the files that the package ships: weights, their checksums, published numbers."""
REPOSITORY = Path(__file__).resolve().parents[1]
"""Root of the clone that the package is installed from (`pip install -e .`); notebooks and figures lie there."""

PARTIAL = ".partial"
"""Ending of the temporary names under which files are written."""
LARGEST_JSON = 64 * 2**20
"""Bytes of the largest JSON file that is read."""


_STAND_INS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    (b"/annex/objects", "a git-annex pointer, not the file itself: fetch it with `git annex get`"),
    (b"<", "a web page, not the file itself: the download asked for a login or failed; fetch it again in a browser"),
)


class ConfigurationError(ValueError):
    """A configuration holds an unknown key or a value of the wrong type; the message names the key."""


def from_dict(kind: type[T], values: dict[str, Any], *, where: str = "configuration") -> T:
    """Build the frozen dataclass `kind` from a plain dictionary.

    Missing keys take the dataclass's defaults. Raises `ConfigurationError` naming the key when a key is unknown,
    a required key is absent, or a value does not have the annotated type (an int is accepted where a float is
    wanted, a list where a tuple is wanted; nothing else is converted).
    """
    if not isinstance(values, dict):
        raise ConfigurationError(f"{where}: expected an object with named values, got {type(values).__name__}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigurationError(f"{where}: unknown key {unknown[0]!r}; known keys are {', '.join(sorted(fields))}")
    arguments = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in arguments:
            raise ConfigurationError(f"{where}: the required key {name!r} is missing")
    try:
        return kind(**arguments)
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def to_dict(configuration: Any) -> dict[str, Any]:
    """The dataclass as plain, JSON-ready values; tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(configuration)))


def read_json(kind: type[T], path: str | Path) -> T:
    """Read a configuration file. Raises `ConfigurationError` naming the file, and the key where one is at fault."""
    return from_dict(kind, read_values(path), where=str(path))


def read_values(path: str | Path) -> dict[str, Any]:
    """The named values of a JSON file. Raises `ConfigurationError` naming the file if it is not one."""
    path = Path(path)
    if not path.exists():
        raise ConfigurationError(f"{path}: no such configuration file")
    if not path.is_file() or path.stat().st_size > LARGEST_JSON:
        raise ConfigurationError(f"{path}: not a file of at most {LARGEST_JSON} bytes")
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, thousands of digits
        raise ConfigurationError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: expected an object with named values, got {type(values).__name__}")
    return values


def parse_json(text: str | bytes) -> Any:
    """What a JSON text holds. Raises `ValueError` for other text, `RecursionError` for too many levels.

    Numbers that are not finite are refused, as the standard does: the package writes none, and no reader expects one.
    """

    def finite(number: str) -> float:
        if not math.isfinite(value := float(number)):
            raise ValueError(f"{number[:40]} is no finite number")
        return value

    return json.loads(text, parse_float=finite, parse_constant=finite)


def write_json(path: str | Path, values: Any) -> None:
    """Write a dataclass or plain values as indented JSON, to a temporary name first and then renamed."""
    plain = to_dict(values) if dataclasses.is_dataclass(values) else values
    write_text(path, json.dumps(plain, indent=2, sort_keys=False, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never half of it.

    Bytes of a file's name that are no text are written as escapes, such as \\udcff.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it.

    The file gets the permissions that the process's umask leaves. Raises `OSError` naming the file if it cannot be
    written, such as on a full disk; the old content is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = f"{error.strerror or error} (not written; what was there before is kept)"
            raise OSError(error.errno, reason, str(path)) from error
        raise


def stand_in(beginning: bytes) -> str | None:
    """What a file is, with the cure, if its first 64 bytes say that it stands in for another: a pointer, a web page."""
    if not beginning:
        return "empty: copy or fetch it again"
    return next((what for start, what in _STAND_INS if beginning[:64].lstrip().startswith(start)), None)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check `value` against a type hint, descending into dataclasses, tuples, literals and optional values."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(hint, value, where=where)  # type: ignore[arg-type]
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigurationError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert_union([choice for choice in arguments if choice is not type(None)], value, where)
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigurationError(f"{where}: expected an object, got {value!r}")
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigurationError(f"{where}: expected {hint.__name__}, got {value!r}")
    if hint is float and not math.isfinite(value):
        raise ConfigurationError(f"{where}: expected a finite number, got {value!r}")
    return value


def _convert_union(choices: list[Any], value: Any, where: str) -> Any:
    errors = []
    for choice in choices:
        try:
            return _convert(choice, value, where)
        except ConfigurationError as error:
            errors.append(str(error))
    raise ConfigurationError("; ".join(errors))


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{where}: expected a list, got {value!r}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(arguments) != len(value):
        raise ConfigurationError(f"{where}: expected {len(arguments)} values, got {len(value)}")
    return tuple(
        _convert(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )
