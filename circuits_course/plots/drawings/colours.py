"""The colours of the drawings, light and dark: those of the figures, with inks that can be read.

Every colour is a CSS variable of the drawing, so that one SVG follows the page it stands in. Text
has at least 4.5:1 on what is behind it, and a line 3:1; a test measures both.
"""

from __future__ import annotations

import re

LIGHT = {
    "bg": "#ffffff", "ink": "#1f2933", "soft": "#52606d", "road": "#d5dbe1",
    "chip": "#f4f6f8", "edge": "#7b8794",
    "blue": "#0072b2", "blue-ink": "#00598c", "blue-wash": "#e6f1f8",
    "orange": "#d55e00", "orange-ink": "#a84300", "orange-wash": "#fdeee4",
    "green": "#009e73", "green-ink": "#006b4e", "green-wash": "#e6f5ef",
}  # fmt: skip
DARK = {
    "bg": "#111820", "ink": "#e4e7eb", "soft": "#a9b4c0", "road": "#3e4c59",
    "chip": "#1f2933", "edge": "#8a97a5",
    "blue": "#56b4e9", "blue-ink": "#7cc4f0", "blue-wash": "#12293a",
    "orange": "#f08a3c", "orange-ink": "#f5a468", "orange-wash": "#3a2413",
    "green": "#2fc296", "green-ink": "#55d4ad", "green-wash": "#0f2f26",
}  # fmt: skip

# Pages that say which theme they are in: JupyterLab, the book (furo), VS Code, Colab.
DARK_PAGES = (
    'body[data-jp-theme-light="false"]', 'body[data-theme="dark"]',
    "body.vscode-dark", 'html[theme="dark"]',
)  # fmt: skip
LIGHT_PAGES = (
    'body[data-jp-theme-light="true"]', 'body[data-theme="light"]',
    "body.vscode-light", 'html[theme="light"]',
)  # fmt: skip
# Where the page has a ground of its own, the drawing stands on that one.
GROUND = "var(--jp-layout-color0,var(--color-background-primary,{colour}))"
VARIABLE = re.compile(r"var\(--d-([a-z-]+)\)")


def css(name: str) -> str:
    """A colour by its name, as an attribute's value."""
    if name not in LIGHT:
        raise KeyError(name)
    return f"var(--d-{name})"


def style() -> str:
    """The drawing's style sheet: light, dark where the reader's system or the page says so."""
    dark = _rule(DARK, *(f"{page} .cc-drawing" for page in DARK_PAGES))
    light = _rule(LIGHT, *(f"{page} .cc-drawing" for page in LIGHT_PAGES))
    by_system = f"@media(prefers-color-scheme:dark){{{_rule(DARK, '.cc-drawing')}}}"
    return f"<style>{_rule(LIGHT, '.cc-drawing')}{by_system}{dark}{light}</style>"


def plain(svg: str, colours: dict[str, str]) -> str:
    """The same SVG with every variable replaced by its colour, for what reads no CSS."""
    return VARIABLE.sub(lambda found: colours[found[1]], svg)


def _rule(colours: dict[str, str], *selectors: str) -> str:
    ground = {"bg": GROUND.format(colour=colours["bg"])}
    body = ";".join(f"--d-{name}:{colour}" for name, colour in {**colours, **ground}.items())
    return f"{','.join(selectors)}{{{body}}}"
