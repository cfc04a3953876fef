"""Every drawing can be read: texts fit, colours can be told apart, it says what it shows."""

import re
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from circuits_course.errors import CourseError
from circuits_course.plots import draw
from circuits_course.plots.drawings import sheet as sheets
from circuits_course.plots.drawings.colours import DARK, LIGHT
from circuits_course.plots.drawings.contact_sheet import contact_sheet
from circuits_course.plots.drawings.fonts import text_width
from circuits_course.plots.drawings.gallery import DRAWINGS

NAMESPACE = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).parents[2]
SMALLEST = 11 * sheets.WIDTH / 600  # 11 pixels where the drawing is 600 wide
ROADS = (LIGHT["road"], LIGHT["bg"])
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

EIGHT = ["BOS", *"qxbmztq"]
PATTERN = np.tril(np.full((8, 8), 0.3))
# As the chapters call them, with what a model may say.
WITH_DATA = {
    "text_to_guess": {"tokens": EIGHT[:7], "ids": range(7), "guesses": {"x": 1.0, " y": 0.001}},
    "attention_arcs": {"tokens": EIGHT, "pattern": PATTERN, "name": "head 1.3"},
    "induction_two_steps": {"tokens": EIGHT, "patterns": [PATTERN] * 2, "probability": 0.93},
    "previous_token": {"tokens": EIGHT[:5], "pattern": PATTERN},
    "looking_back": {"heads": ["", "", ""]},
    "residual_stream": {"layers": 30, "heads": 9},
    "logit_lens": {"token": " of", "guesses": [(0, "?"), (10, "?"), (30, " Washington")]},
    "two_models": {"induction": [(1, 3), (18, 6)], "layers": [2, 30]},
    "large_or_small_heads": {"counts": [1, 8, 32]},
    "cut_path": {"sender": "0.0", "reader": "1.2", "letter": "q"},
    "ioi_smollm2": {"inhibition": ["20.0", "19.2", "18.1"]},
    "path_patching": {"frozen": ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]},
}
CASES = {name: (name, {}) for name in DRAWINGS}
CASES |= {f"{name}, with data": (name, data) for name, data in WITH_DATA.items()}

all_drawings = pytest.mark.parametrize("case", CASES)


def drawing(case: str) -> sheets.Sheet:
    name, data = CASES[case]
    return draw(name, **data)


def marks(case: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing(case).still())


def text_boxes(svg: ElementTree.Element) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Each line of text with its left, top, right and bottom, in the widest font there is."""
    boxes = []
    for text in svg.iter(f"{NAMESPACE}text"):
        size = float(text.get("font-size") or sheets.TEXT)
        width = text_width(text.text, size, text.get("font-weight") == "bold")
        x, y = float(text.get("x")), float(text.get("y"))
        left = x - {"middle": width / 2, "end": width}.get(text.get("text-anchor"), 0)
        boxes.append((text.text, (left, y - 0.76 * size, left + width, y + 0.22 * size)))
    return boxes


def overlap(a, b, slack: float = 0.0) -> bool:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    return across > slack and down > slack


def inside(a, b) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3]


def outlines(svg: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """What is framed: rectangles and circles with a line around them."""
    found = []
    for tag in ("rect", "circle"):
        for mark in svg.iter(NAMESPACE + tag):
            if mark.get("stroke") in (None, "none"):
                continue
            if tag == "rect":
                x, y, w, h = (float(mark.get(key)) for key in ("x", "y", "width", "height"))
                found.append((x, y, x + w, y + h))
            else:
                x, y, r = (float(mark.get(key)) for key in ("cx", "cy", "r"))
                found.append((x - r, y - r, x + r, y + r))
    return found


def curve_points(svg: ElementTree.Element) -> list[tuple[float, float]]:
    """Points along every arrow (paths of M, L, H, V, Q and C); lanes and grids are left out."""
    points = []
    for path in svg.iter(f"{NAMESPACE}path"):
        line = path.get("d")
        if path.get("stroke") in (None, *ROADS, LIGHT["edge"]) or re.search("[hvlz]", line):
            continue
        here = (0.0, 0.0)
        for letter, rest in re.findall("([MLHVQC])([^MLHVQC]*)", line):
            n = [float(value) for value in NUMBER.findall(rest)]
            if letter == "H":
                n = [n[0], here[1]]
            if letter == "V":
                n = [here[0], n[0]]
            knots = [here, *zip(n[::2], n[1::2], strict=True)]
            if letter != "M":
                points += [bezier(knots, i / 60) for i in range(61)]
            here = knots[-1]
    return points


def bezier(knots, t: float) -> tuple[float, float]:
    while len(knots) > 1:
        knots = [(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])) for a, b in pairwise(knots)]
    return knots[0]


@all_drawings
def test_no_text_leaves_the_frame_or_lies_on_another(case):
    svg = marks(case)
    boxes = text_boxes(svg)
    frame = (4, 4, sheets.WIDTH - 4, float(svg.get("height")) - 4)
    assert [text for text, box in boxes if not inside(box, frame)] == []
    assert [(a, b) for (a, x), (b, y) in combinations(boxes, 2) if overlap(x, y)] == []


@all_drawings
def test_no_text_is_crossed_by_an_outline_or_an_arrow(case):
    svg = marks(case)
    boxes, points = text_boxes(svg), curve_points(svg)
    crossed = [
        text
        for text, box in boxes
        for shape in outlines(svg)
        if overlap(box, shape, 2) and not inside(box, shape) and not inside(shape, box)
    ]
    assert crossed == []
    covered = {text for text, (a, b, c, d) in boxes for x, y in points if a < x < c and b < y < d}
    assert covered == set()


@all_drawings
def test_texts_are_few_and_large_enough(case):
    svg = marks(case)
    sizes = [float(t.get("font-size") or sheets.TEXT) for t in svg.iter(f"{NAMESPACE}text")]
    assert min(sizes) >= min(SMALLEST, 12)
    words = [word for text, _ in text_boxes(svg) for word in re.findall("[A-Za-z]{3,}", text)]
    assert len(words) <= 34, words


@all_drawings
def test_a_drawing_is_small_and_the_same_each_time(case):
    drawn = drawing(case)
    assert len(drawn.svg.encode()) < 15_000
    assert len(drawn.png) < 25_000
    assert drawn.svg == drawing(case).svg


def test_a_still_picture_has_the_same_bytes_each_time():
    assert draw("one_head").png == draw("one_head").png


@all_drawings
def test_a_drawing_says_what_it_shows(case):
    drawn = drawing(case)
    svg = ElementTree.fromstring(drawn.svg)
    ids = {mark.get("id"): mark for mark in svg.iter() if mark.get("id")}
    title, description = (ids[key].text for key in svg.get("aria-labelledby").split())
    assert svg.get("role") == "img"
    assert title == drawn.title
    assert description == drawn.description
    assert len(description.split()) >= 20, "the whole idea in words"


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_and_lines_stand_out(theme):
    grounds = {"ink": ("bg", "chip"), "soft": ("bg",)}
    grounds |= {f"{tone}-ink": ("bg", f"{tone}-wash") for tone in ("blue", "orange", "green")}
    for ink, behind in grounds.items():
        assert min(contrast(theme[ink], theme[ground]) for ground in behind) >= 4.5, ink
    for line in ("edge", "blue", "orange", "green"):
        assert contrast(theme[line], theme["bg"]) >= 3, line


def test_every_colour_has_both_themes():
    assert set(LIGHT) == set(DARK)
    marks_of_all = "".join(draw(name).svg for name in DRAWINGS)
    assert set(re.findall(r"var\(--d-([a-z-]+)\)", marks_of_all)) == set(LIGHT)
    assert "var(" not in draw("one_head").still(dark=True)


def test_names_and_data_that_are_unknown():
    with pytest.raises(CourseError, match=r"Did you mean 'one_head'.*induction_two_steps"):
        draw("one_heads")
    with pytest.raises(CourseError, match="'grouped_keys' takes queries, keys, not heads"):
        draw("grouped_keys", heads=9)
    with pytest.raises(CourseError, match="the last of which stood before"):
        draw("induction_two_steps", tokens=list("abcd"))
    with pytest.raises(CourseError, match="2 to 8 tokens"):
        draw("attention_arcs", tokens=["a", "b"], pattern=[[1.0]])


def test_numbers_come_from_the_model_at_hand():
    drawn = draw("attention_arcs", tokens=["a", " b"], pattern=[[1, 0], [0.625, 0.375]])
    assert "0.62" in drawn.svg
    assert "·b" in drawn.svg
    assert "0.2" in draw("one_head", name="0.2", share=np.array(0.5)).svg
    assert not re.search(r">0\.\d", draw("attention_arcs").svg), "an example has no numbers"
    tokens, weak = ["q", "x", "b", "q"], np.full((4, 4), 0.1)
    thin = draw("induction_two_steps", tokens=tokens, patterns=[weak, weak]).svg
    assert thin != draw("induction_two_steps", tokens=tokens, patterns=[10 * weak, 10 * weak]).svg


@pytest.mark.parametrize(("queries", "keys"), [(12, None), (14, 2), (32, 8), (9, 3)])
def test_grouped_keys_of_any_model_fit(queries, keys):
    svg = ElementTree.fromstring(draw("grouped_keys", queries=queries, keys=keys).still())
    boxes = text_boxes(svg)
    assert [(a, b) for (a, x), (b, y) in combinations(boxes, 2) if overlap(x, y)] == []


def test_a_saved_notebook_keeps_the_picture_and_the_words(monkeypatch):
    drawn = draw("one_head")
    bundle, sizes = drawn._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png"}
    assert sizes["image/png"]["width"] == sheets.WIDTH
    assert sizes["image/png"]["alt"].startswith("One head")
    monkeypatch.setattr(sheets, "in_notebook", lambda: True)
    page = drawn._repr_mimebundle_()[0]["text/html"]
    without_script = re.sub("<script>.*</script>", "", page, flags=re.DOTALL)
    assert "<svg" in page
    assert "<svg" not in without_script
    assert "<img" in without_script
    assert 'alt="One head' in without_script


def test_every_drawing_stands_in_a_chapter_with_a_sentence_beside_it():
    chapters = [path.read_text(encoding="utf-8") for path in (ROOT / "exercises").glob("*.py")]
    cells = [text.split("\n# %%") for text in chapters]
    pairs = [pair for chapter in cells for pair in pairwise(chapter)]
    shown = {
        name: after for cell, after in pairs for name in re.findall(r'^draw\("(\w+)"', cell, re.M)
    }
    assert set(shown) == set(DRAWINGS)
    assert [name for name, after in shown.items() if "*What to see:*" not in after] == []


def test_the_contact_sheet_shows_all():
    assert contact_sheet().startswith(b"\x89PNG")
