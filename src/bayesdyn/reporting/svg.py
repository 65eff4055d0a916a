"""Matplotlib figures as SVG that belongs to the page: its colours, its fonts, its light and dark.

Each colour of the palette is drawn as a hex code of its own and replaced by the page's CSS variable, so one
drawing serves both schemes and print. Lengths are CSS pixels: one SVG unit is one pixel at full width.
"""

import io
import re
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

INK, MUTED, RULE, ERROR, NAIVE, TIP, PAPER = (
    "#010203", "#010204", "#010205", "#010206", "#010207", "#010208", "#010209",
)  # fmt: skip
_VARIABLES = MappingProxyType(
    {
        INK: "--ink", MUTED: "--muted", RULE: "--rule", ERROR: "--error", NAIVE: "--naive", TIP: "--tip",
        PAPER: "--paper",
    }
)  # fmt: skip
TEXT, SMALL = 12.5, 11.0
_DOTS = 72.0
_STYLE: "Mapping[RcKeyType, str | bool | float | None]" = MappingProxyType(
    {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "axes.unicode_minus": True,
        "axes.edgecolor": RULE,
        "axes.linewidth": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "text.color": INK,
        "xtick.color": RULE,
        "ytick.color": RULE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "xtick.major.size": 3.5,
        "ytick.major.size": 0.0,
        "xtick.major.width": 1.0,
        "lines.solid_capstyle": "round",
    }
)


class Canvas:
    """A figure of fixed size in CSS pixels, with axes placed from its upper left corner.

    Parameters
    ----------
    width, height
        In CSS pixels.
    """

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure: Figure = Figure(figsize=(width / _DOTS, height / _DOTS), dpi=_DOTS, facecolor="none")

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        """Return new axes whose plotting area is this box."""
        import matplotlib as mpl

        with mpl.rc_context(_settings("")):
            box = (
                left / self.width,
                1 - (top + height) / self.height,
                width / self.width,
                height / self.height,
            )
            return self.figure.add_axes(box, facecolor="none")

    def text(
        self,
        left: float,
        top: float,
        text: str,
        *,
        size: float = TEXT,
        color: str = INK,
        align: str = "left",
        bold: bool = False,
    ) -> None:
        """Write text with its baseline at ``top``, as it is: nothing in it is mathematics."""
        self.figure.text(
            left / self.width, 1 - top / self.height, text,
            fontsize=size, color=color, ha=align, va="baseline", weight="bold" if bold else "normal",
            parse_math=False,
        )  # fmt: skip

    def svg(self, name: str) -> str:
        """Return the drawing as an ``<svg>`` element for a page.

        Parameters
        ----------
        name
            Unique in its page: it starts the ids that the drawing refers to.
        """
        import matplotlib as mpl

        buffer = io.StringIO()
        with mpl.rc_context(_settings(name)), warnings.catch_warnings():
            # The reader's browser picks the font; what the font here lacks does not matter.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
        return _for_page(buffer.getvalue(), name, self.width, self.height)


def _settings(salt: str) -> "dict[RcKeyType, str | bool | float | None]":
    """Return matplotlib's settings; the salt makes the ids, and so the file, the same at every run."""
    return {**_STYLE, "svg.hashsalt": salt or None}


def _for_page(drawing: str, name: str, width: float, height: float) -> str:
    """Return matplotlib's SVG without header, metadata and namespaces, in the page's colours and fonts."""
    root = ElementTree.fromstring(drawing)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(key): value for key, value in element.attrib.items()}
        if element.tag == "g":
            attributes.pop("id", None)
        if "id" in attributes:
            attributes["id"] = f"{name}-{attributes['id']}"
        if "href" in attributes:
            attributes["href"] = f"#{name}-{attributes['href'].removeprefix('#')}"
        if "clip-path" in attributes:
            attributes["clip-path"] = attributes["clip-path"].replace("(#", f"(#{name}-")
        if "style" in attributes:
            attributes["style"] = _themed(attributes["style"])
        if element.tag == "text" and "fill:" not in attributes.get("style", ""):
            attributes["style"] = attributes.get("style", "") + f"; fill: var({_VARIABLES[INK]})"
        if attributes.get("transform", "").startswith("rotate(-0 "):
            del attributes["transform"]
        if "d" in attributes:
            attributes["d"] = _shorter(attributes["d"])
        if element.text and not element.text.strip():
            element.text = None
        if element.tail and not element.tail.strip():
            element.tail = None
        element.attrib.clear()
        element.attrib.update(attributes)
    root.attrib.clear()
    root.attrib.update({"viewBox": f"0 0 {width:g} {height:g}", "aria-hidden": "true", "focusable": "false"})
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _themed(style: str) -> str:
    for colour, variable in _VARIABLES.items():
        style = style.replace(colour, f"var({variable})")
    return re.sub(r"font-family:[^;]*;?\s*", "", style)


def _shorter(path: str) -> str:
    return re.sub(r"\d+\.\d+", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), path).replace(
        "\n", ""
    )


def _local(name: str) -> str:
    return name.rpartition("}")[2]
