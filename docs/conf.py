"""The documentation site: `make docs` builds it into build/docs, warnings as errors."""

import io
import re
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from lightning_modules.main import OTHER_COMMANDS, TRAINER_COMMANDS, USAGE, main  # noqa: E402
from mutualformer import __version__ as release  # noqa: E402

project = "MutualFormer"
author = "the authors of this repository"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_show_copyright = False
html_title = f"MutualFormer {release}"


myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
# Notebooks are run by tests/docs; here, what they showed is.
nb_execution_mode = "off"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# Of torch and Lightning, which have pages of their own.
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "inherited-members": False}
napoleon_use_ivar = True
suppress_warnings = ["mystnb.unknown_mime_type"]

# Documents that lie beside the code they are about, and are pages here too.
_BESIDE_CODE = {
    "mutualformer/ops/cross_diffusion/README.md": "method",
    "benchmarks/README.md": "benchmarks",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
}


def _help_of(*words: str) -> str:
    text = io.StringIO()
    with redirect_stdout(text):
        try:
            main([*words])
        except SystemExit as end:
            assert not end.code, f"{words}: {text.getvalue()}"
    return text.getvalue().strip()


def _write_commands(app: Sphinx) -> None:
    """Write the pages that come from the parser: commands with their options, and all settings."""
    lines = ["# Commands", "", "As `mutualformer --help` and the commands' own `--help` print it."]
    texts = {"mutualformer": USAGE}
    for command in TRAINER_COMMANDS + OTHER_COMMANDS:
        texts[f"mutualformer {command}"] = _help_of(command, "--help")
        code = import_module(
            "lightning_modules.cli." + (command if command in OTHER_COMMANDS else "training")
        )
        for sub in getattr(code, "SUBCOMMANDS", ()):
            texts[f"mutualformer {command} {sub}"] = _help_of(command, sub, "--help")
    for name, text in texts.items():
        lines += ["", f"## {name}", "", "```text", text.strip(), "```"]
    _write(HERE / "reference" / "commands.md", lines)
    settings = _help_of("fit", "--data=datamodules.RGBDSaliencyDataModule", "--print_config")
    lines = [
        *("# Settings", "", "Every setting of `fit` with its default, as the parser prints it:"),
        *("", "    mutualformer fit --data=datamodules.RGBDSaliencyDataModule --print_config", ""),
        "Each is a key of a YAML file and a flag under its dotted name, such as",
        "`--model.network.fusion.epsilon`. What it means stands with the class that it belongs to",
        *("([Python reference](python.md)).", "", "```yaml", settings, "```"),
    ]
    _write(HERE / "reference" / "settings.md", lines)


def _write_documents_beside_code(app: Sphinx) -> None:
    for source, name in _BESIDE_CODE.items():
        text = (HERE.parent / source).read_text()
        _write(HERE / "project" / f"{name}.md", [_relinked(text, (HERE.parent / source).parent)])


def _relinked(text: str, folder: Path) -> str:
    """Point the links of a document at pages of the site; those to code become its path."""

    def link(match: re.Match[str]) -> str:
        words, target, anchor = match.groups(default="")
        path = (folder / target).resolve()
        if not path.exists() or HERE.parent not in (path, *path.parents):
            return match[0]
        inside = path.relative_to(HERE.parent).as_posix()
        if inside in _BESIDE_CODE:
            return f"[{words}](/project/{_BESIDE_CODE[inside]}.md{anchor})"
        if path.suffix in (".md", ".png", ".svg", ".gif", ".ipynb") and HERE in path.parents:
            return f"[{words}](/{path.relative_to(HERE).as_posix()}{anchor})"
        return f"{words} (`{inside}`)"

    return re.sub(r"\[([^\]]*)\]\(([^):#]+)(#[^)]*)?\)", link, text)


def _relink_page(app: Sphinx, page: str, source: list[str]) -> None:
    folder = (HERE / page).parent
    if page.partition("/")[0] != "project" and not page.startswith("tutorials/"):
        source[0] = _relinked(source[0], folder)


def _keep_formulas(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Make what is indented between paragraphs of a docstring, formulas, keep its lines."""
    marked: list[str] = []
    outer = ""  # the last line that was not indented
    for line, before in zip(lines, ["", *lines[:-1]], strict=True):
        is_formula = line.startswith("    ") and not outer.endswith(":")
        if is_formula and not before.strip() and marked[-2:] != ["::", ""]:
            marked += ["::", ""]
        if line.strip() and not line.startswith(" "):
            outer = line
        # The end of a name, and no reference to one.
        marked.append(line if is_formula else re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", line))
    lines[:] = marked


def _write(path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_text() != text:  # else, all is built again each time
        path.write_text(text)


def setup(app: Sphinx) -> None:
    """Connect what is generated."""
    app.connect("builder-inited", _write_commands)
    app.connect("builder-inited", _write_documents_beside_code)
    app.connect("source-read", _relink_page)
    app.connect("autodoc-process-docstring", _keep_formulas, priority=100)  # before napoleon
