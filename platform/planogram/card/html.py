"""Pieces of a page that needs nothing else: every text is escaped, every picture stands in the page itself."""

import base64
import html
from collections.abc import Iterable

from planogram.data.report import CSS, html_table

MORE_CSS = """
h2 { margin-top: 2.5rem; border-bottom: 2px solid #eee } img { max-width: 100% }
.note { color: #555; max-width: 46rem } .big { font-size: 1.6rem; margin: .3rem 0 }
"""


def page(title: str, sections: Iterable[str]) -> bytes:
    """A whole page.

    Args:
        title: as text.
        sections: as HTML.
    """
    name = html.escape(title)
    head = f'<meta charset="utf-8"><title>{name}</title><style>{CSS}{MORE_CSS}</style>'
    body = "\n".join([f"<h1>{name}</h1>", *sections])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}\n</body></html>\n'.encode()


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it, as HTML; empty where nothing does."""
    inside = "\n".join(part for part in parts if part)
    return f"<h2>{html.escape(title)}</h2>\n{inside}" if inside else ""


def note(text: str) -> str:
    """A sentence that explains."""
    return f'<p class="note">{html.escape(text)}</p>'


def big(text: str) -> str:
    """A sentence that is read first."""
    return f'<p class="big">{html.escape(text)}</p>'


def picture(png: bytes | None, what: str) -> str:
    """A picture inside the page; empty where there is none."""
    if png is None:
        return ""
    return f'<img alt="{html.escape(what)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def table(header: tuple[str, ...], rows: Iterable[list[str]], *, numbers: bool = True) -> str:
    """A table; empty where it has no row."""
    found = list(rows)
    return html_table(header, found, numbers=numbers) if found else ""
