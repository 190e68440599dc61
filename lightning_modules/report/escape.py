"""Text from users where it is shown and could be taken for code."""

import re

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # After a line break \\, LaTeX would take these for its options.
    "[": "{[}",
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    # What this project writes itself, and 7-bit fonts lack.
    "ε": r"$\varepsilon$",
    "Δ": r"$\Delta$",
    "∞": r"$\infty$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\u00a0": "~",
}
_MARKDOWN_INLINE = "\\`*_[]<>|~$&"
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+|inf)(e[-+]?\d+)?", re.IGNORECASE)
_MARKDOWN_LINE_START = re.compile(r"^(#|[-+=]|\d+[.)](?=\s))")


def escape_latex(text: str) -> str:
    r"""Return text that LaTeX sets as it is.

    >>> print(escape_latex("A&B_1, 50 %"))
    A\&B\_1, 50 \%
    """
    return "".join(_LATEX.get(character, character) for character in text)


def escape_terminal(text: str) -> str:
    r"""Return text whose control characters, which could command a terminal, can be seen.

    >>> print(escape_terminal("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1]
        for character in text
    )


def escape_csv(text: str) -> str:
    """Return text that no spreadsheet takes for a formula.

    >>> escape_csv("=1+1"), escape_csv("-0.5"), escape_csv("a")
    ("'=1+1", '-0.5', 'a')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def escape_markdown(text: str) -> str:
    r"""Return text that Markdown shows as it is, on one line, also inside a table.

    >>> print(escape_markdown("a|b 0.5"), escape_markdown("1. one"), escape_markdown("- x"))
    a\|b 0.5 1\. one \- x
    """
    one_line = " ".join(text.split())
    escaped = "".join(f"\\{c}" if c in _MARKDOWN_INLINE else c for c in one_line)
    return _MARKDOWN_LINE_START.sub(lambda match: f"{match[0][:-1]}\\{match[0][-1]}", escaped)
