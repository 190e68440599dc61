"""One renderer per format, each from the same table."""

from lightning_modules.report.formats.csv_file import render_csv
from lightning_modules.report.formats.html import render_html
from lightning_modules.report.formats.latex import render_latex
from lightning_modules.report.formats.markdown import render_markdown
from lightning_modules.report.formats.terminal import print_table

# By the suffix of an output file.
RENDERERS = {
    ".md": render_markdown,
    ".tex": render_latex,
    ".csv": render_csv,
    ".html": render_html,
}

__all__ = [
    "RENDERERS",
    "print_table",
    "render_csv",
    "render_html",
    "render_latex",
    "render_markdown",
]
