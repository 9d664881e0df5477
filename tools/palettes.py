"""Looks at the dashboard's colours as people with other colour vision do: `python tools/palettes.py`.

The palette is simulated under deuteranopia and protanopia (G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A
Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 15(6), 2009; the matrices of severity
1.0, for linear RGB) and in grey.  Two colours are told apart by their distance in OKLab (B. Ottosson, 2020,
https://bottosson.github.io/posts/oklab/), times 100, where about 2 is a just noticeable difference; in grey by their
lightness L* (CIE 1976).  Words have the contrast of WCAG 2.2, 1.4.3: at least 4.5.  Exit code 1 where it
fails.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app import charts  # noqa: E402

Rgb = NDArray[np.float64]
VISIONS: dict[str, Rgb] = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
LEAST_DISTANCE, LEAST_GREY, LEAST_CONTRAST = 9.0, 5.0, 4.5
"""Our conventions for the first two: four times what is just noticeable, and a step of grey that a printer shows."""
FADED = 0.62
"""How much of the words' colour Streamlit's captions have: what is left of it in a screenshot, 2026-12-01."""
LEAST_GAP = 15.0
"""L* between the background, which is what has no data, and either end of the scale of a heat map.  Our convention."""
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(colour: str) -> Rgb:
    """Linear RGB, 0 to 1, of `#RRGGBB` (sRGB, IEC 61966-2-1)."""
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def distance(one: str, other: str, vision: str) -> float:
    """In OKLab times 100, as somebody with this colour vision sees them."""
    first, second = (
        _TO_OKLAB @ np.cbrt(_TO_CONES @ np.clip(VISIONS[vision] @ linear(each), 0.0, 1.0)) for each in (one, other)
    )
    return 100 * float(np.linalg.norm(first - second))


def lightness(colour: str) -> float:
    """L* of CIE 1976, 0 to 100: what is left of a colour in grey."""
    luminance = float(_LUMINANCE @ linear(colour))
    return 116 * float(np.cbrt(luminance)) - 16 if luminance > (6 / 29) ** 3 else luminance * (29 / 3) ** 3


def contrast(one: str, other: str) -> float:
    """Of WCAG 2.2: 1 to 21."""
    low, high = sorted(float(_LUMINANCE @ linear(each)) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def closest(palette: Sequence[str], vision: str) -> tuple[float, str, str]:
    """The two colours that are hardest to tell apart, and their distance."""
    return min((distance(one, other, vision), one, other) for one, other in combinations(palette, 2))


def grey_step(palette: Sequence[str]) -> float:
    """The smallest difference of lightness between two colours."""
    return min(high - low for low, high in pairwise(sorted(map(lightness, palette))))


def faded(colour: str, background: str) -> str:
    """A colour that lets so much of the background through."""
    pairs = ((int(colour[at : at + 2], 16), int(background[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(FADED * own + (1 - FADED) * behind):02X}" for own, behind in pairs)


def words() -> Iterator[tuple[str, str, str]]:
    """Theme, colour of words, background: of pictures, links and coloured text."""
    theme = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    for name, background in charts.BACKGROUNDS.items():
        yield name, charts.WORDS[name], background
        yield f"{name} captions", faded(charts.WORDS[name], background), background
        for key, colour in theme[name].items():
            if key == "linkColor" or key.endswith("TextColor"):
                yield f"{name} {key}", colour, background


def failures() -> Iterator[str]:
    """What is wrong with the palette, the words and the scale of heat maps."""
    for vision in VISIONS:
        least, one, other = closest(charts.PALETTE, vision)
        if least < LEAST_DISTANCE:
            yield f"{one} and {other} are {least:.1f} apart ({vision}); at least {LEAST_DISTANCE:g}"
    if (step := grey_step(charts.PALETTE)) < LEAST_GREY:
        yield f"two colours differ by {step:.1f} in grey; at least {LEAST_GREY:g}"
    for name, colour, background in words():
        if (found := contrast(colour, background)) < LEAST_CONTRAST:
            yield f"{name}: {colour} on {background} has a contrast of {found:.1f}; at least {LEAST_CONTRAST:g}"
    for name, background in charts.BACKGROUNDS.items():
        for colour in charts.HEAT_ENDS[name]:
            if (gap := abs(lightness(colour) - lightness(background))) < LEAST_GAP:
                yield f"{name}: {colour} of heat maps is {gap:.1f} from no data; at least {LEAST_GAP:g}"


def main() -> int:
    """Print what was measured."""
    for vision in VISIONS:
        least, one, other = closest(charts.PALETTE, vision)
        print(f"{vision:14} {one} and {other} are the closest: {least:.1f} apart")
    print(f"{'grey':14} the smallest step is {grey_step(charts.PALETTE):.1f}")
    for name, colour, background in words():
        print(f"{name:20} {colour} on {background}: contrast {contrast(colour, background):.1f}")
    wrong = list(failures())
    print("\n".join(wrong) or "all colours are told apart")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
