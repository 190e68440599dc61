"""Damage to files, the same for the same number, and what a reader may do with it.

A reader either returns something valid or raises a mistake of the user that names the file, within
seconds, and leaves nothing behind. A case that breaks this prints the number that makes it again.
"""

import contextlib
import copy
import random
import resource
import signal
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

SECONDS_PER_INPUT = 10.0
MEGABYTES = 700.0
_EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0" * 4)
# Scalars that are seldom what a key expects; YAML's own readers raise half a dozen classes on some.
SCALARS: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, 2**63, 1e308, -1e-308, float("nan"), float("inf")),
    *("", " ", "nan", "\x1b[31mred", "a\nb", "\u202ex", "../../up", "/", "\0", "ü" * 300, "[/x]"),
    *([], {}, [[]], [None], {"a": None}, {"x": {"y": [1, 2]}}, [1, "a", {}]),
)
YAML_FRAGMENTS = (
    *("!!timestamp x", "2001-99-99", "!!int ''", "!!int x", "!!bool x", "!!float x", "!!binary x"),
    *("!!python/object/apply:os.system ['touch PWNED']", "!!set {a, b}", "!!omap [a: 1]", "*no"),
    *("&a [*a]", "{? [a] : b}", "{<<: 3}", "=", "0x", "1:99", "1e999", "-.inf", ".nan"),
    "9" * 5000,
    *(
        "[" * 600,
        "{a: " * 400,
        "'",
        '"\\x1b"',
        "|",
        "? ",
        "- - - -",
        "%",
        "@",
        "`",
        "\t",
        "\ufeff",
    ),
)


class TooSlow(BaseException):
    """No reader may take it for a damaged file."""


def mutate_bytes(content: bytes, rng: random.Random, donors: Sequence[bytes] = ()) -> bytes:
    """Flip, overwrite, cut, repeat, insert or splice at random, up to four times."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not changed:
            break
        at = rng.randrange(len(changed))
        length = min(len(changed) - at, rng.choice((1, 2, 4, 16, 64, 1024)))
        kind = rng.randrange(8)
        if kind == 0:
            for _ in range(rng.choice((1, 8))):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            extreme = rng.choice(_EXTREMES)
            changed[at : at + len(extreme)] = extreme
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            del changed[at : at + length]
        elif kind == 4:
            changed[at:at] = changed[at : at + length] * rng.choice((1, 8))
        elif kind == 5:
            changed[at : at + length] = rng.randbytes(length)
        elif kind == 6:  # Headers are where sizes and kinds are.
            changed[rng.randrange(min(len(changed), 64))] = rng.randrange(256)
        elif donors:
            donor = rng.choice(donors)
            changed[at:] = donor[rng.randrange(len(donor)) :]
    return bytes(changed)


def mend_png(content: bytes) -> bytes:
    """Make the checksums of a PNG right again, so that what lies behind them is read."""
    if not content.startswith(b"\x89PNG"):
        return content
    mended, at = bytearray(content[:8]), 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunk = content[at + 4 : at + 8 + length]
        mended += content[at : at + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + length
    return bytes(mended)


def mutate_tree(tree: Any, rng: random.Random) -> Any:
    """Replace, remove, repeat, rename or nest something somewhere in dicts and lists."""
    places = list(_places(tree))
    if not places:
        return copy.deepcopy(rng.choice(SCALARS))
    holder, key = rng.choice(places)
    kind = rng.randrange(7)
    if kind <= 2:
        holder[key] = copy.deepcopy(rng.choice(SCALARS))
    elif kind == 3:
        del holder[key]
    elif kind == 4 and isinstance(holder, dict):
        new = rng.choice(("", "unknown", "\x1b]0;x\x07", "a.b", "__class__", "ü", 3, None))
        holder[new] = holder.pop(key)
    elif kind == 5:
        for _ in range(rng.choice((1, 30, 120))):
            holder[key] = rng.choice(([holder[key]], {"a": holder[key]}))
    else:
        holder[key] = [holder[key]] * rng.choice((2, 50))
    return tree


def alias_bomb(levels: int = 9, width: int = 10) -> str:
    """Return YAML of a few hundred bytes that stands for `width ** levels` values."""
    lines = ["a0: &a0 [x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join([*lines, ""])


def mutate_yaml(text: str, rng: random.Random) -> bytes:
    """Change bytes, or whole values and lines in ways that YAML knows."""
    kind = rng.randrange(5)
    if kind == 0:
        return mutate_bytes(text.encode(), rng)
    lines = text.splitlines() or [""]
    at = rng.randrange(len(lines))
    key, colon, _ = lines[at].partition(":")
    if kind == 1 and colon:
        lines[at] = f"{key}: {rng.choice(YAML_FRAGMENTS)}"
    elif kind == 2 and colon:
        # Names are defined first, so that any line may use them.
        lines[at] = f"{key}: *a{rng.choice((2, 8))}"
        lines[:0] = alias_bomb().splitlines()
    elif kind == 3:
        lines.insert(at, lines[rng.randrange(len(lines))])
    else:
        lines[at] = rng.choice((" ", "  ", "- ", "\t", "")) + rng.choice(lines)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


@contextlib.contextmanager
def time_limit(seconds: float = SECONDS_PER_INPUT) -> Iterator[None]:
    """Raise `TooSlow` in the body of the `with` after so many seconds."""

    def stop(*_: object) -> None:
        raise TooSlow(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def memory_limit(megabytes: float = MEGABYTES) -> Iterator[None]:
    """Fail if the process' peak memory grows by more in the body of the `with`."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < megabytes, f"peak memory grew by {grown:.0f} MB"


def fuzz(
    count: int,
    path: Path,
    content_of: Callable[[random.Random], bytes],
    read: Callable[[Path], object],
    is_mistake: Callable[[Exception], bool],
    named: str | None = None,
) -> tuple[int, int]:
    """Write a file `count` times, read it, and check that what happens is allowed.

    Args:
        count: how many.
        path: of the file.
        content_of: makes its content, from a generator seeded with the number.
        read: reads it and asserts that what it returns is valid.
        is_mistake: whether an exception is one that users see as a message.
        named: what that message must hold; by default the path.

    Returns:
        How many were read and how many refused.
    """
    num_read = 0
    broken: list[str] = []
    with memory_limit():
        for number in range(count):
            path.write_bytes(content_of(random.Random(number)))
            before = _listing(path.parent)
            try:
                with time_limit():
                    read(path)
                num_read += 1
            except TooSlow as error:
                broken.append(f"{number}: {error}")
            except Exception as error:
                if not is_mistake(error):
                    broken.append(f"{number}: {type(error).__name__}: {error!s:.300}")
                elif (str(path) if named is None else named) not in str(error):
                    broken.append(f"{number}: does not name the file: {error!s:.300}")
            if (after := _listing(path.parent)) != before:
                broken.append(f"{number}: left {sorted(after ^ before)}")
    assert not broken, "\n".join([f"{len(broken)} of {count}", *broken[:40]])
    print(f"\n{path.name}: {count} inputs, {num_read} read, {count - num_read} refused")
    return num_read, count - num_read


def _listing(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}
