"""Every picture carries its numbers, its words and a small still form, and needs no network."""

from __future__ import annotations

import base64
import html
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from circuits_course.errors import CourseError
from circuits_course.plots import (
    Figure,
    plot_attention,
    plot_bars,
    plot_heads,
    plot_lines,
    plot_matrix,
    plot_scatter,
)
from circuits_course.plots import figure as figure_module
from circuits_course.plots.arrays import as_array, number, rounded, visible
from circuits_course.plots.attention import MAX_PANELS
from circuits_course.plots.figure import DIVERGING, PLOTLY, SEQUENTIAL
from circuits_course.plots.heatmaps import colour_limits, strongest
from circuits_course.plots.sketch import sketch_lines

NASTY = ["</script>", "<b>x</b>", "a\nb", '"quote"', "$x$", "'", "&amp;", "\\"]


def causal_pattern(heads: int, length: int) -> np.ndarray:
    """[head, q, k]: head h looks h + 1 positions back, or at the first key."""
    pattern = np.zeros((heads, length, length))
    for head in range(heads):
        for q in range(length):
            pattern[head, q, max(q - head - 1, 0)] = 1.0
    return pattern


def figures() -> dict[str, Figure]:
    rng = np.random.default_rng(0)
    steps = np.arange(100)
    return {
        "heads 2x4": plot_heads(rng.random((2, 4)), "Induction scores"),
        "heads 12x12": plot_heads(rng.normal(size=(12, 12)), "Effects", diverging=True),
        "heads 30x9": plot_heads(rng.random((30, 9)), "Induction scores"),
        "matrix": plot_matrix(
            rng.normal(size=(8, 8)),
            "Scores",
            x=("key token", NASTY),
            y=("query token", NASTY),
            unit="logits",
            diverging=True,
        ),
        "lines": plot_lines(
            {"first": np.exp(-steps / 30), "second": np.exp(-steps / 5)},
            "Loss",
            x="position",
            y="loss (nats)",
            markers={"second copy": 50},
            bands={"first": (np.exp(-steps / 30) - 0.1, np.exp(-steps / 30) + 0.1)},
        ),
        "bars": plot_bars(
            {"intact": 0.98, "ablated": 0.1},
            "Accuracy",
            y="accuracy",
            errors={"intact": 0.02},
        ),
        "scatter": plot_scatter(
            ("copying", rng.normal(size=40)),
            ("matching", rng.normal(size=40)),
            "Copying and matching",
            labels=[divmod(i, 9) for i in range(40)],
            groups=["a", "b"] * 20,
        ),
        "attention": plot_attention(NASTY, causal_pattern(3, 8), "Attention"),
        "attention 9x24": plot_attention(list("abcdefgh" * 3), causal_pattern(9, 24), "Attention"),
    }


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return figures()


@pytest.mark.parametrize("name", figures())
def test_bundle_has_a_picture_and_words_and_is_small(drawn, name):
    bundle = drawn[name]._repr_mimebundle_()
    assert {"text/plain", "image/png"} <= set(bundle)
    png = base64.b64decode(bundle["image/png"])
    assert len(png) < 40_000
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.size == tuple(int(side * 100) for side in drawn[name].size)
    assert image.info == {}  # no date, no software
    colours = image.convert("RGB").getcolors(maxcolors=256)
    assert len(colours) > 8  # something is drawn
    assert drawn[name].title in bundle["text/plain"]
    assert len(bundle["text/plain"]) < 4000


@pytest.mark.parametrize("name", [name for name in figures() if "attention" not in name])
def test_interactive_form_is_plain_json_with_titled_axes(drawn, name):
    spec = json.loads(json.dumps(drawn[name]._repr_mimebundle_()[PLOTLY], allow_nan=False))
    assert len(json.dumps(spec)) < 10_000
    assert spec["layout"]["title"]["text"] == drawn[name].title
    if name != "bars":
        assert spec["layout"]["xaxis"]["title"]["text"]
    assert spec["layout"]["yaxis"]["title"]["text"]


@pytest.mark.parametrize("name", [name for name in figures() if "attention" not in name])
def test_installed_plotly_accepts_the_interactive_form(drawn, name):
    import plotly.graph_objects as go

    go.Figure({"data": drawn[name].plotly["data"], "layout": drawn[name].plotly["layout"]})


def test_same_numbers_same_bytes(drawn):
    again = figures()
    assert {name: f.plotly for name, f in again.items()} == {n: f.plotly for n, f in drawn.items()}
    for name in ("heads 12x12", "lines", "scatter", "attention"):
        assert again[name].png == drawn[name].png, name


def test_readers_matplotlib_settings_do_not_leak_in_or_out():
    import matplotlib

    before = plot_heads([[0.1, 0.2]], "Scores").png
    with matplotlib.rc_context({"font.size": 30, "image.cmap": "jet"}):
        assert plot_heads([[0.1, 0.2]], "Scores").png == before
        assert matplotlib.rcParams["font.size"] == 30


def test_text_tells_the_numbers():
    scores = np.array([[0.125, 0.25], [0.5, 0.875]])
    figure = plot_heads(scores, "Scores", unit="induction score")
    assert figure.numbers["induction score"] == pytest.approx(scores)
    rows = [line.split() for line in figure.table.splitlines()]
    assert rows[1:] == [["0", "0.12", "0.25"], ["1", "0.50", "0.88"]]
    assert "strongest at head 1.1" in figure.alt
    assert figure.text in repr(figure)


def test_text_of_a_large_model_lists_the_strongest_heads():
    scores = np.zeros((30, 9))
    scores[17, 4], scores[2, 8] = -0.9, 0.8
    lines = plot_heads(scores, "Effects", diverging=True).table.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["head", "17.4", "-0.90"],
        ["head", "2.8", "0.80"],
    ]


def test_heads_are_named_layer_dot_head_on_hover():
    trace = plot_heads(np.eye(3), "Scores").plotly["data"][0]
    assert trace["hovertemplate"].startswith("head %{y}.%{x}")
    assert (trace["y"][2], trace["x"][1], trace["z"][2][2]) == ("2", "1", 1)


@pytest.mark.parametrize(
    ("values", "diverging", "limits"),
    [
        ([[0.2, 0.9]], False, (0.0, 1.0)),  # comparable between figures
        ([[0.01, 0.02]], False, (0.0, 0.02)),  # visible although small
        ([[-1.0, 3.0]], True, (-3.0, 3.0)),  # centred on zero
        ([[0.0, 0.0]], False, (0.0, 1.0)),
        ([[0.0, 0.0]], True, (-1.0, 1.0)),
        ([[np.nan, 5.0]], True, (-5.0, 5.0)),
    ],
)
def test_zero_is_on_every_scale(values, diverging, limits):
    assert colour_limits(np.array(values), diverging) == limits


def test_white_means_zero():
    assert SEQUENTIAL[0] == "#ffffff"
    assert DIVERGING[len(DIVERGING) // 2] == "#ffffff"


def test_strongest_skips_missing_values_and_keeps_ties_in_order():
    assert strongest(np.array([[np.nan, 1.0], [-1.0, 0.5]]), 3) == [(0, 1), (1, 0), (1, 1)]


def test_all_missing_values_still_make_a_figure():
    assert plot_heads([[np.nan, np.nan]], "Nothing yet").png


def test_repeated_labels_stay_separate_cells():
    figure = plot_matrix(np.eye(3), "Scores", x=("key", ["a", "b", "a"]), y="query")
    assert figure.plotly["data"][0]["x"] == ["a (0)", "b (1)", "a (2)"]
    assert figure.plotly["layout"]["xaxis"]["ticktext"] == ["a", "b", "a"]


def test_rows_of_a_mapping_bring_their_names_and_heads_are_labels():
    rows = {(0, 3): [1.0, 2.0], (1, 0): [3.0, 4.0]}
    trace = plot_matrix(rows, "Scores", x=("part", ["q", "k"]), y="head").plotly["data"][0]
    assert (trace["y"], trace["x"]) == (["0.3", "1.0"], ["q", "k"])
    named = plot_matrix(rows, "Scores", x="part", y=("row", ["one", "two"])).plotly["data"][0]
    assert (named["y"], named["x"]) == (["one", "two"], ["0", "1"])
    bars = plot_bars({(2, 1): 0.5}, "Scores", y="score", errors={(2, 1): 0.1})
    assert "2.1" in bars.table


def test_lines_keep_steps_whole_and_gaps_empty():
    figure = plot_lines(
        {"loss": [1.0, np.nan, 0.123456]},
        "Loss",
        x=("step", [10_001, 20_002, 30_003]),
        y="nats",
    )
    trace = figure.plotly["data"][0]
    assert (trace["x"], trace["y"]) == ([10_001, 20_002, 30_003], [1, None, 0.1235])
    assert figure.numbers["loss"][2] == 0.123456


def test_logarithmic_axes_draw_numbers_not_markup():
    figure = plot_lines(
        {"a": [1.0, 2.0]},
        "A",
        x=("x", [1, 1000]),
        y="y",
        log_x=True,
        markers={"here": 100},
    )
    assert figure.plotly["layout"]["annotations"][0]["x"] == 2.0  # plotly wants the exponent
    assert figure.png


def test_attention_text_names_the_links_of_each_head():
    figure = plot_attention(
        list("abcd"), causal_pattern(2, 4), "Attention", head_names=["1.0", "1.3"]
    )
    rows = [line.split() for line in figure.table.splitlines()[1:]]
    assert [row[0] for row in rows] == ["1.0"] * 3 + ["1.3"] * 3
    assert ["1.0", "d", "(3)", "c", "(2)", "1"] in rows
    assert ["1.3", "d", "(3)", "b", "(1)", "1"] in rows


def test_attention_draws_the_first_heads_of_many_and_says_so():
    figure = plot_attention(list("abc"), causal_pattern(MAX_PANELS + 3, 3), "Attention")
    assert f"first {MAX_PANELS}" in figure.alt
    assert figure.numbers["attention"].shape == (MAX_PANELS + 3, 3, 3)


def test_saved_attention_needs_no_network_and_no_script():
    bundle = plot_attention(NASTY, causal_pattern(1, 8), "Attention")._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png"}
    assert "http" not in bundle["text/plain"]


def test_html_form_escapes_tokens_and_has_words():
    page = plot_attention(NASTY, causal_pattern(1, 8), "A <b>bold</b> title").to_html()
    assert "</script>" not in page
    assert "<b>" not in page
    assert 'alt="A &lt;b&gt;' in page


def test_a_figure_in_the_page_carries_its_words_as_alt_text_and_below(monkeypatch):
    import IPython.display

    seen = []
    monkeypatch.setattr(figure_module, "in_notebook", lambda: True)
    monkeypatch.setattr(
        IPython.display, "display", lambda data, metadata, raw: seen.append((data, metadata))
    )
    figure = plot_heads([[0.1, 0.9]], "Scores <of> heads")
    figure._ipython_display_()
    (picture, metadata), (words, _) = seen
    assert metadata["image/png"]["alt"] == f"{figure.title}. {figure.alt}"
    assert set(picture) >= {"image/png", "text/plain"}
    assert words["text/plain"] == ""  # said once
    assert "Scores &lt;of&gt; heads" in words["text/html"]
    assert html.escape(figure.table) in words["text/html"]


def test_outside_of_a_notebook_a_figure_is_its_words(capsys):
    figure = plot_heads([[0.1, 0.9]], "Scores")
    figure.show()
    assert capsys.readouterr().out.strip() == figure.text.strip()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_heads([1.0, 2.0], "T"), r"scores must have 2 axes, got shape \[2\]"),
        (lambda: plot_heads([[1.0]], " "), "needs a title"),
        (lambda: plot_heads(np.zeros((0, 4)), "T"), "empty"),
        (lambda: plot_heads([["a"]], "T"), "must be numbers"),
        (lambda: plot_attention(["a"], np.zeros((1, 2, 2)), "T"), "1 tokens"),
        (lambda: plot_attention(["a"], [[[1.0]]], "T", head_names=["0", "1"]), "2 names for 1"),
        (
            lambda: plot_lines({"a": [1], "b": [1, 2]}, "T", x="x", y="y"),
            "equal lengths",
        ),
        (lambda: plot_lines({}, "T", x="x", y="y"), "no line"),
        (lambda: plot_bars({"a": 1}, "T", y="y", errors={"b": 1}), "names no bar"),
        (lambda: plot_matrix([[1]], "T", x=("x", ["a", "b"]), y="y"), "2 names"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(CourseError, match=message):
        call()


def test_tensors_are_taken_as_they_are():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[0.5, 0.25]], requires_grad=True)
    assert as_array(tensor, "scores").tolist() == [[0.5, 0.25]]
    assert as_array(tensor.bfloat16(), "scores").tolist() == [[0.5, 0.25]]


def test_numbers_are_rounded_to_four_digits():
    assert rounded(np.array([1 / 3, 123456.0, np.inf, 2.0])) == [0.3333, 123500, None, 2]
    assert [number(x) for x in (0.5, 0.0001234, 100.0, 0.0)] == ["0.5", "0.0001234", "100", "0"]
    assert visible(" a\n\tvery long token") == "·a↵⇥very long…"
    assert visible("  ") == "··"


def test_sketch_is_wellformed_and_ends_at_the_last_point():
    from xml.etree import ElementTree

    svg = sketch_lines(
        {"<a>": np.array([0.0, np.nan, 10.0])},
        "A & B",
        x=("step", np.array([0.0, 1, 2])),
        y="loss",
    )
    root = ElementTree.fromstring(svg)
    line = root.find("{http://www.w3.org/2000/svg}polyline")
    assert line is not None
    assert line.get("points") == "60.0,350.0 685.0,40.0"


def test_importing_plots_loads_none_of_the_heavy_packages():
    code = (
        "import sys, circuits_course.plots.explorers.live_training, circuits_course.plots.scatter\n"
        "heavy = {'torch', 'matplotlib', 'plotly', 'ipywidgets', 'anywidget', 'IPython'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_matrix_between_named_directions():
    from circuits_course.plots import plot_named

    def in_names(matrix):
        rows = np.asarray(matrix)
        acts = np.abs(rows).max(1) > 0
        return [name for name, on in zip("xyz", acts, strict=True) if on], rows[acts]

    matrix = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 3.0, 4.0]])
    titles = {"x": "written", "y": "read", "unit": "weight"}
    both = repr(plot_named(in_names, matrix, "t", **titles))
    assert all(word in both for word in ("x", "y", "z"))
    numbered = plot_named(in_names, matrix, "t", both=False, **titles)
    assert "0" in repr(numbered)
