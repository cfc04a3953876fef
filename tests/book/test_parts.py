"""The pieces of a page: exercises, questions, pictures, documents, cards, the map, the walk."""

from __future__ import annotations

import base64
import json

import pytest
from docutils.utils.math import MathError

from circuits_course.authoring.book import places, walk
from circuits_course.authoring.book.chapter_pages import is_plumbing, one_title
from circuits_course.authoring.book.documents import led, setup_page
from circuits_course.authoring.book.exercises import exercise_section
from circuits_course.authoring.book.extension import floors, mathml, plain_paragraph
from circuits_course.authoring.book.front import Card
from circuits_course.authoring.book.links import dead_links
from circuits_course.authoring.book.making import ROOT, chapters_solved, make_book
from circuits_course.authoring.book.pictures import Pictures, is_words
from circuits_course.authoring.book.places import Published, ways_in
from circuits_course.authoring.book.questions import question_form, questions_asked
from circuits_course.authoring.book.walk_drawing import drawing, walk_html
from circuits_course.checks.questions import Questions
from circuits_course.errors import CourseError
from circuits_course.plots.explorers.circuit import DATA as CIRCUIT

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)


def test_an_exercise_is_open_and_its_hints_and_answer_are_folded_in_order():
    page = exercise_section("f", "def f(x): ...", ["one `x`", "two"], "def f(x):\n    return x < 1")
    places = [page.index(s) for s in ("Hint 1 of 2", "Hint 2 of 2", "A right answer", "&lt;")]
    assert places == sorted(places)
    assert page.index("</div>") < page.index("<details")  # the stub stands before every fold
    assert "<code>x</code>" in page
    assert page.count("<details") == page.count("</details>") == 3
    assert " open" not in page


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ('chapter.predict("a", choices=["x", "y"])', [("predict", "a")]),
        ('chapter.quiz("a")\nchapter.explain("b")', [("quiz", "a"), ("explain", "b")]),
        ('chapter.quiz("a")\nx = 1', None),
        ('chapter.reveal("a", model)', [("reveal", "a")]),
        ("chapter.hint('f')", None),
        ("%pip list", None),
        ("", None),
    ],
)
def test_which_cells_do_nothing_but_ask(source, asked):
    assert questions_asked(source) == asked


@pytest.fixture
def questions():
    made = Questions()
    made.quiz("where", "Where does `W` <look>?", {"here": "No.", "there": "Yes."}, answer="there")
    made.prediction("what", "What will it say?", {"a": "Measured.", "b": "No."}, answer="a")
    made.explanation("why", "Why?", "Because.")
    return made


def test_a_question_tells_every_choice_what_the_checks_say(questions):
    form = question_form("04_x", "quiz", "where", questions)
    assert 'data-name="04_x/where"' in form
    assert "<code>W</code> &lt;look&gt;" in form
    assert form.count('type="radio"') == 2
    assert form.index('data-tone="bad"') < form.index('data-tone="good"')  # in the choices' order
    assert "✘ Not “here”. No." in form
    assert "✔ Right: there. Yes." in form
    prediction = question_form("04_x", "predict", "what", questions)
    assert prediction.count('data-tone="open"') == 2
    assert "Measured" not in prediction  # not before it was measured
    reveal = question_form("04_x", "reveal", "what", questions)
    assert 'data-name="04_x/what"' in reveal
    unfolded, by_choice = reveal.split("<template>")
    assert "○ It is: “a”. Measured." in unfolded
    assert by_choice.index("✔ You said") < by_choice.index("✘ You said “b”")
    sentence = question_form("04_x", "explain", "why", questions)
    assert "<textarea" in sentence
    assert "Because." in sentence


def test_a_question_that_the_checks_do_not_have_is_no_question(questions):
    with pytest.raises(KeyError):
        question_form("04_x", "quiz", "nothing", questions)


def test_a_picture_goes_to_a_file_and_its_words_to_the_page(tmp_path):
    pictures = Pictures(tmp_path, up="..")
    plot = {"data": [{"name": "</script>"}], "layout": {}}
    data = {
        "image/png": PIXEL,
        "text/plain": 'Title\nWhat "it" shows.\na b\n1 2',
        "application/vnd.plotly.v1+json": plot,
    }
    page = pictures.output_html(data, {})
    (file,) = tmp_path.rglob("*.png")
    assert file.read_bytes() == base64.b64decode(PIXEL)
    assert f'src="../pictures/{file.name}" width="1" height="1"' in page
    assert 'alt="Title. What &quot;it&quot; shows."' in page
    assert "<p>What &quot;it&quot; shows.</p><pre>a b\n1 2</pre>" in page
    assert page.count("</script>") == 1
    stored = page.split('<script type="application/json" class="plot">')[1].split("</script>")[0]
    assert json.loads(stored) == plot
    touched = pictures.output_html({**data, CIRCUIT: json.dumps(plot)}, {})
    stored = touched.split('<script type="application/json" class="circuit">')[1]
    assert json.loads(stored.split("</script>")[0]) == plot
    assert touched.count("</script>") == 1
    assert pictures.output_html({"text/plain": "1"}, {}) is None
    drawing = {"image/png": PIXEL, "text/plain": "Title\nWhat it shows."}
    page = pictures.output_html(drawing, {"image/png": {"width": 680}})
    assert page.startswith('<figure class="drawing"><img')
    assert 'width="680" height="680"' in page
    assert is_words({"data": {"text/html": '<details class="circuits-words" style="">'}})
    assert not is_words({"data": {"text/html": ["<details>"]}})
    drawn = {"image/svg+xml": ["<svg>", "</svg>"], "image/png": PIXEL}
    assert pictures.output_html(drawn, {}) == '<figure class="drawing"><svg></svg></figure>'


def test_what_is_plumbing():
    assert is_plumbing("import torch\nfrom a import b")
    assert is_plumbing("chapter.how_sure()")
    assert not is_plumbing("import torch\nx = torch.ones(2)")


def test_a_page_has_one_title():
    cells = [
        {"cell_type": "markdown", "source": ["# A. Part\n", "text # not a heading"]},
        {"cell_type": "code", "source": "# a comment"},
        {"cell_type": "markdown", "source": "## B"},
    ]
    shown = ["".join(cell["source"]) for cell in one_title(cells)]
    assert shown == ["## A. Part\ntext # not a heading", "# a comment", "### B"]
    assert one_title(cells[1:]) == cells[1:]


def test_links_of_a_document_lead_to_pages():
    pages = {"README.md": "setup", "docs/teaching.md": "teaching"}
    text = (
        "[a](../README.md#x) [b](teaching.md) [c](../LICENSE) [d](https://x.org) ![e](images/i.png)"
    )
    text += " [f](../notebooks/04_induction_heads.ipynb)\n```\n[g](../README.md)\n```\n"
    here = led(text, "docs/other.md", pages, None)
    assert here.startswith(
        "[a](setup.md#x) [b](teaching.md) c [d](https://x.org) ![e](images/i.png)"
    )
    assert led("![e](docs/images/i.png)", "README.md", pages, None) == "![e](images/i.png)"
    assert "[f](chapters/04_induction_heads.ipynb)" in here
    assert "[g](../README.md)" in here
    there = led(text, "docs/other.md", pages, Published("o/n", "v1"))
    assert "[c](https://github.com/o/n/blob/v1/LICENSE)" in there


def test_the_readme_still_has_what_the_page_about_setting_up_takes_from_it():
    page = setup_page((ROOT / "README.md").read_text(encoding="utf-8"))
    assert page.count("\n## ") == 3
    assert "make lab" in page


def test_ways_in_need_no_network_unless_published(tmp_path, monkeypatch):
    alone = ways_in("04_induction_heads", None)
    assert "https:" not in alone
    assert 'href="../downloads/04_induction_heads.ipynb"' in alone
    assert "make lab CHAPTER=04" in alone
    monkeypatch.setattr(places, "ROOT", tmp_path)
    assert "colab" not in ways_in("04_induction_heads", Published("o/n", "v1"))
    (tmp_path / "colab").mkdir()
    (tmp_path / "colab" / "04_induction_heads.ipynb").write_text("{}")
    links = ways_in("04_induction_heads", Published("o/n", "v1", copies="colab"))
    assert "colab.research.google.com/github/o/n/blob/v1/colab/04_induction_heads.ipynb" in links
    assert "mybinder.org/v2/gh/o/n/v1?labpath=notebooks%2F04_induction_heads.ipynb" in links
    assert "git+https://github.com/o/n@v1" in links
    with pytest.raises(CourseError, match="OWNER/NAME"):
        Published("nonsense", "v1")


@pytest.mark.parametrize("chapter", chapters_solved())
def test_every_chapter_says_what_its_card_needs(chapter):
    card = Card.read(chapter)
    assert card.title.startswith(chapter[:2])
    assert card.html().count("<dd>") == 2


def test_the_map_of_the_rooms_has_floors():
    chart = """flowchart TB
      top["cli.py: the commands"]
      a["a/: one"]
      b["b/: two"]
      side["side/: beside"]
      low["low.py"]
      top --> a & b --> low
      side --> low
    """
    assert floors(chart) == [
        ["cli.py: the commands"],
        ["a/: one", "b/: two", "side/: beside"],
        ["low.py"],
    ]


def test_a_docstring_is_plain_words_and_code():
    assert plain_paragraph("a `b_c` of *heads and x_ | y") == r"a ``b_c`` of \*heads and x\_ \| y"
    assert plain_paragraph("- one\n  two") == "- one\n  two"
    assert plain_paragraph("so:\n    f(*x)") == "::\n\n    so:\n        f(*x)"


def test_formulas_are_mathml():
    assert "<msub>" in mathml("W_{OV}", block=False)
    assert 'display="block"' in mathml(r"\frac{a}{b}\Big|_{c}", block=True)
    with pytest.raises(MathError):
        mathml(r"\nosuchcommand{x}", block=False)


def test_dead_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"></p><a href="b.html#there">1</a><a href="c.html">2</a><a href="#here">3</a>'
        '<a href="b.html#nowhere">4</a><img src="https://x.org/i.png"><a href="https://x.org">5</a>'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">B</h1>')
    said = "\n".join(dead_links(tmp_path))
    assert said.count("\n") == 2
    for part in ("c.html leads nowhere", "#nowhere names a place", "i.png would be loaded"):
        assert part in said


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CourseError, match="holds something else"):
        make_book(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_walk_is_what_the_model_does():
    shipped, fresh = walk.load(), walk.measure()
    assert flat(json.loads(json.dumps(fresh))) == flat(shipped)
    (token, share), _ = shipped[4]["says"][0], shipped[4]["cut"]
    assert (token, share > 0.9) == ("t", True)
    assert all(other != "t" for other, _ in shipped[4]["cut"]["says"])


def flat(thing):
    """Words as they are, numbers near enough."""
    if isinstance(thing, dict):
        return {key: flat(value) for key, value in thing.items()}
    if isinstance(thing, list):
        return [flat(value) for value in thing]
    return pytest.approx(thing, abs=0.01) if isinstance(thing, float) else thing


def test_the_walk_has_five_steps_in_words_and_in_the_drawing():
    shipped = walk.load()
    whole = [f'data-step="{n}" class="whole"' in drawing(shipped) for n in range(2, 7)]
    assert whole == [True] * 4 + [False]
    cut = [f'data-step="{n}" class="cut"' in drawing(shipped) for n in range(2, 7)]
    assert cut == [True, False, True, True, False]  # nothing is written where the head is silent
    page = walk_html(shipped)
    assert page.count("<li>") == 5
    assert "it was 1.00" in page
