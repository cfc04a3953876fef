"""Mystery circuits: every true claim scores full marks, every kind of false one loses its own."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import nbformat
import pytest
import torch
from typer.testing import CliRunner

from circuits_course.cli import app
from circuits_course.errors import CourseError, UnknownName
from circuits_course.mystery import ALGORITHMS, ROLES, Claim, grade, load_mystery, mystery_paths
from circuits_course.mystery.bench import Bench, Paths, all_heads, divergence, silence_path
from circuits_course.mystery.grading import NUDGES, edges_mark, grade_on
from circuits_course.mystery.inputs import TwoNames
from circuits_course.mystery.making import (
    SHIPPED,
    make_hiding,
    make_mystery,
    make_planted,
    new_mystery,
    shipped,
    true_claim,
    verified,
    without,
)
from circuits_course.mystery.roles import TARGETS, attends_as, share_on_targets
from circuits_course.mystery.sealing import SIZES, open_seal, read_mystery
from circuits_course.mystery.shelf import SHELF

ROOT = Path(__file__).resolve().parents[2]
FRESH = {"backup": 9, "backup and decoys": 15, "two decoys": 33}
HIDDEN = ["told_twice", "either_will_do"]
NAMES = [*SHIPPED, *FRESH, *HIDDEN]
PARTS = list(NUDGES)


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_no_gradients():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=NAMES)
def mystery(request):
    name = request.param
    if name in HIDDEN:
        return make_planted(name, 0)
    return load_mystery(name) if name in SHIPPED else make_mystery(name, FRESH[name])


@pytest.fixture
def truth(mystery):
    return true_claim(mystery)


def lost(mystery, claim):
    """The parts that do not get full marks."""
    return {name for name, mark in grade_on(mystery, claim).marks.items() if mark < 1}


# --- the score table --------------------------------------------------------------------------


def test_true_claim_gets_full_marks(mystery, truth):
    result = grade_on(mystery, truth)
    assert list(result.marks) == PARTS
    assert result.full, str(result)


def test_empty_claim_loses_everything(mystery):
    assert set(grade_on(mystery, Claim(mystery.name)).marks.values()) == {0.0}


def test_claim_of_all_heads_is_faithful_and_complete_and_not_minimal(mystery, truth):
    others = sorted(all_heads(mystery.model) - set(truth.circuit))
    heads = {**truth.heads, "two back": others}
    found = lost(mystery, replace(truth, heads=heads))
    assert "minimality" in found
    assert found <= {"minimality", "roles"}


def test_leaving_out_any_head_loses_faithfulness_or_completeness(mystery, truth):
    for head in truth.circuit:
        found = lost(mystery, without(truth, head))
        assert found & {"faithfulness", "completeness"}, head
        assert not found & {"algorithm", "predictions"}
        if len(truth.circuit) > 1:
            assert "minimality" not in found or "faithfulness" in found


def test_leaving_out_a_backup_loses_completeness_alone(mystery, truth):
    for head in truth.heads.get("backup", []):
        assert lost(mystery, without(truth, head)) == {"completeness"}


def test_each_decoy_added_loses_minimality_alone(mystery, truth):
    tokens = mystery.sample(64, 0)
    for decoy in open_seal(mystery).decoys:
        looks = [r for r in TARGETS if attends_as(mystery.model, tokens, decoy, r)]
        role = looks[0] if looks else "backup"
        heads = {**truth.heads, role: [*truth.heads.get(role, []), decoy]}
        found = lost(mystery, replace(truth, heads=heads))
        assert "minimality" in found
        assert found <= ({"minimality"} if looks else {"minimality", "roles"})


def test_shuffled_roles_lose_roles_alone(mystery, truth):
    roles = list(truth.heads)
    if len(roles) > 1:
        shifted = [*roles[1:], roles[0]]
    else:
        shifted = [next(role for role in ROLES if role not in roles)]
    heads = {new: truth.heads[role] for role, new in zip(roles, shifted, strict=True)}
    assert lost(mystery, replace(truth, heads=heads)) == {"roles"}


def test_a_wrong_name_loses_the_algorithm_alone(mystery, truth):
    for name in ALGORITHMS:
        if name != truth.algorithm:
            break
    assert lost(mystery, replace(truth, algorithm=name)) == {"algorithm"}


def test_wrong_predictions_lose_predictions_alone(mystery, truth):
    first = mystery.model.cfg.vocabulary[1]
    found = lost(mystery, replace(truth, predictions=lambda symbols: first))
    assert found == {"predictions"}


def test_every_missing_and_every_false_edge_loses_marks(mystery, truth):
    tokens = mystery.sample(64, 0)
    backups = truth.heads.get("backup", [])
    for edge in truth.edges:
        less = [other for other in truth.edges if other != edge]
        # An edge of or to a backup carries, some of them, only in need: it may be left out then.
        if edge[0] not in backups and edge[1][:2] not in backups:
            assert edges_mark(mystery, replace(truth, edges=less), tokens) < 1, edge
    for sender in truth.circuit:
        for head in truth.circuit:
            for letter in "qkv":
                edge = (sender, (*head, letter))
                if head[0] > sender[0] and edge not in truth.edges:
                    more = replace(truth, edges=[*truth.edges, edge])
                    assert edges_mark(mystery, more, tokens) < 1, edge


def test_an_edge_heard_through_another_input_loses_edges(mystery, truth):
    turned = [
        (a, b if b == "logits" else (*b[:2], {"k": "q", "v": "q", "q": "v"}[b[2]]))
        for a, b in truth.edges
    ]
    if turned != list(truth.edges):
        assert lost(mystery, replace(truth, edges=turned)) == {"edges"}


def test_predictions_may_be_listed(mystery, truth):
    model = mystery.model
    prompts = ["".join(model.to_str_tokens(row[None])[1:]) for row in mystery.sample(12, 3)]
    said = [model.cfg.vocabulary[model(model.to_tokens(p))[0, -1].argmax()] for p in prompts]
    right = dict(zip(prompts, said, strict=True))
    assert grade_on(mystery, replace(truth, predictions=right)).full
    few = dict(list(right.items())[:5])
    assert grade_on(mystery, replace(truth, predictions=few)).marks["predictions"] == 0.5


def test_a_grade_gives_nothing_away(mystery, truth):
    wrong = Claim(mystery.name, {"backup": sorted(all_heads(mystery.model))})
    text = str(grade_on(mystery, wrong)).removeprefix(mystery.name)
    assert not re.search(r"\d\.\d|\(\d", text)
    assert not [name for name in ALGORITHMS if name in text]
    assert not [role for role in ROLES if role in text]
    assert str(grade_on(mystery, truth)).startswith(f"{mystery.name}: solved")


# --- circuits that hide -----------------------------------------------------------------------


def importances(bench, others_gone):
    """The most that each head matters with up to so many others gone."""
    return {
        head: max(
            bench.distance(bench.heads.difference(gone), bench.heads.difference(gone, [head]))
            for size in range(others_gone + 1)
            for gone in combinations(sorted(bench.heads - {head}), size)
        )
        for head in bench.heads
    }


def test_a_pair_of_backups_shows_itself_to_nobody_who_takes_away_two():
    mystery = load_mystery("kunzite")
    bench = Bench(mystery.model, mystery.sample(64, 1))
    circuit = set(true_claim(mystery).circuit)
    assert max(importances(bench, 1).values()) < 0.05
    assert {head for head, most in importances(bench, 2).items() if most > 0.05} == circuit
    assert bench.distance(bench.heads, bench.heads - circuit) > 0.9


def test_a_head_that_always_says_the_same_shows_itself_to_zeros_alone():
    mystery = load_mystery("lazulite")
    tokens, truth = mystery.sample(64, 1), true_claim(mystery)
    ((marker,), (reader,)) = truth.heads.values()
    for mode in ("mean", "resample"):
        bench = Bench(mystery.model, tokens, mode)
        assert importances(bench, 1)[marker] < 0.01
        assert 1 - bench.distance(bench.heads, {reader}) > 0.9
    zeros = Bench(mystery.model, tokens, "zero")
    assert {head for head, most in importances(zeros, 1).items() if most > 0.05} == {marker, reader}
    paths = Paths(mystery.model, tokens)
    edge = marker, (*reader, "k")
    assert abs(paths.effect(*edge)) < 0.01 < 0.2 < paths.silent_effect(*edge)
    assert "faithfulness" in lost(mystery, without(truth, marker))


def test_a_silenced_path_is_one_of_a_copy_in_which_nobody_else_hears_the_sender():
    mystery = load_mystery("flint")
    model, tokens = mystery.model, mystery.sample(8, 2)
    ((sender,), (reader,)) = true_claim(mystery).heads.values()
    _, cache = model.run_with_cache(tokens)
    silent = silence_path(model, tokens, reader, "logits")
    expected = model(tokens) - cache["z", reader[0]][:, :, reader[1]] @ (
        model.W_O[reader] @ model.W_U
    )
    torch.testing.assert_close(silent, expected, atol=1e-4, rtol=1e-4)
    before = model(tokens)
    moved = {letter: silence_path(model, tokens, sender, (*reader, letter)) for letter in "qkv"}
    assert divergence(before, moved["k"]) > 10 * max(divergence(before, moved[c]) for c in "qv")
    assert not model.cfg.use_split_qkv_input


# --- what ships -------------------------------------------------------------------------------


def test_at_least_eight_ship_from_easy_to_hard():
    assert list(SHIPPED) == [name for name in mystery_paths() if not name.startswith("seed-")]
    keys = [open_seal(load_mystery(name)) for name in SHIPPED]
    assert len(keys) >= 8
    assert len({key.algorithm for key in keys}) >= 8
    assert any("backup" in key.heads for key in keys)
    assert any(len(key.decoys) > 1 for key in keys)
    assert sum(path.stat().st_size for path in SHELF.iterdir()) < 800_000


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_ones_follow_from_their_seeds(name):
    kept, made = load_mystery(name), shipped(name)
    assert open_seal(kept) == open_seal(made)
    for (key, a), (_, b) in zip(
        kept.model.named_parameters(), made.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, atol=0.01, rtol=0.01, msg=key)


def test_no_data_file_says_algorithm_role_or_heads():
    words = [name.encode() for name in (*ALGORITHMS, *ROLES)]
    for path in SHELF.iterdir():
        content = path.read_bytes()
        assert not [word for word in words if word in content], path.name
        head = content[8 : content.index(b'"blocks.0')].decode()  # after the header's length
        keys = re.findall(r'"(\w+)\\*":', head)
        assert keys == ["__metadata__", "mystery", "config", *SIZES, "vocabulary", "seal"]


def test_the_learners_notebook_gives_no_circuit_away():
    notebook = nbformat.read(ROOT / "notebooks" / "10_mystery_circuits.ipynb", as_version=4)
    code = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
    claims = re.findall(r'Claim\("(\w+)", (.*?)\)', code)
    assert {name for name, _ in claims} > {"basalt", "jasper"}
    for name, rest in claims:
        if name == "practice":  # made on the spot, its key open
            continue
        empty = 'heads={}, edges=[], algorithm="", predictions={}'
        assert rest in (empty, 'heads={"backup": heads}', "heads, edges, algorithm, predict"), name
    assert not re.findall(r"\[\(\d, \d\)", code)
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    about = prose[prose.index("### basalt") : prose.index("## More of them")]
    assert not [name for name in (*ALGORITHMS, *ROLES) if name in about]


# --- making new ones --------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_mystery(tmp_path):
    one, again = new_mystery(4, tmp_path / "a"), new_mystery(4, tmp_path / "b")
    files = [tmp_path / folder / "seed-4.safetensors" for folder in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert open_seal(one) == open_seal(again)
    assert open_seal(make_mystery("x", 5)) != open_seal(one)


def test_a_kept_mystery_is_the_one_that_was_verified(tmp_path):
    made = new_mystery(11, tmp_path)
    kept = read_mystery(tmp_path / "seed-11.safetensors")
    tokens = made.sample(8, 0)
    assert torch.equal(tokens, kept.sample(8, 0))
    assert torch.equal(made.model(tokens), kept.model(tokens))


def test_what_does_not_come_out_right_is_drawn_again():
    """Seed 30 gives a model whose true circuit is not faithful enough."""
    assert not grade_on(make_mystery("x", 30), true_claim(make_mystery("x", 30))).full
    mystery = verified("x", 30)
    assert grade_on(mystery, true_claim(mystery)).full


def test_new_and_list_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_HOME", str(tmp_path))
    made = CliRunner().invoke(app, ["mystery", "new", "--seed", "3"])
    assert made.exit_code == 0, made.output
    assert 'load_mystery("seed-3")' in made.output
    assert load_mystery("seed-3").name == "seed-3"
    listed = CliRunner().invoke(app, ["mystery", "list"])
    assert listed.output.index("jasper") < listed.output.index("seed-3")
    assert CliRunner().invoke(app, ["mystery", "new", "--seed", "-1"]).exit_code == 1


def test_a_hiding_one_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_HOME", str(tmp_path))
    made = CliRunner().invoke(app, ["mystery", "new", "--seed", "2", "--hiding"])
    assert made.exit_code == 0, made.output
    kept = load_mystery("seed-2-hiding")
    assert open_seal(kept) == open_seal(make_hiding("seed-2-hiding", 2))


def test_every_way_to_hide_is_drawn():
    drawn = {open_seal(make_hiding("x", seed)).algorithm for seed in range(12)}
    assert drawn == {"previous token", "first token", "second token", "first if seen"}


# --- claims that are no claims ----------------------------------------------------------------

GOOD = {"heads": {"previous token": [(0, 1)], "induction": [(1, 2)]}}


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ({"mystery": 3}, "first argument"),
        ({"heads": [(0, 1)]}, "heads is a dictionary"),
        ({"heads": {"previous tokens": [(0, 1)]}}, "There is no role 'previous tokens'"),
        ({"heads": {"mover": (0, 1)}}, "pair"),
        ({"heads": {"mover": [(0, "1")]}}, "pair"),
        ({"heads": {"mover": [(0, -1)]}}, "pair"),
        ({"heads": {"mover": 7}}, "is a list"),
        ({"heads": {"mover": [(0, 1)], "backup": [(0, 1)]}}, "0.1 is claimed twice"),
        ({"algorithm": "inductoin"}, "Nearest: 'induction'"),
        (GOOD | {"edges": "logits"}, "edges is a list"),
        (GOOD | {"edges": [((0, 1), (1, 2))]}, "An edge is"),
        (GOOD | {"edges": [((0, 1), (1, 2, "x"))]}, "An edge is"),
        (GOOD | {"edges": [((0, 0), "logits")]}, "0.0, which has no role"),
        (GOOD | {"edges": [((1, 2), (0, 1, "q"))]}, "not in a later layer"),
        ({"predictions": 5}, "predictions is a function"),
    ],
)
def test_a_malformed_claim_is_named_in_one_line(claim, says):
    with pytest.raises(CourseError) as raised:
        Claim(**{"mystery": "agate", **claim})
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_the_model_does_not_have_is_named():
    with pytest.raises(UnknownName, match="agate"):
        grade(Claim("agat"))
    with pytest.raises(CourseError, match=r"no head 7\.0 in agate: it has 2 layers of 3"):
        grade(Claim("agate", {"mover": [(7, 0)]}))
    with pytest.raises(CourseError, match="takes a Claim"):
        grade("agate")
    with pytest.raises(CourseError, match="raised IndexError on"):
        grade(Claim("agate", predictions=lambda symbols: symbols[99]))
    with pytest.raises(UnknownName, match="symbol"):
        grade(Claim("agate", predictions={"?": "a"}))


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CourseError, match=r"broken\.safetensors is damaged"):
        read_mystery(path)


# --- the parts --------------------------------------------------------------------------------


def test_divergence_is_zero_for_equals_and_torchs_otherwise():
    from torch.distributions import Categorical, kl_divergence

    a, b = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Categorical(logits=a), Categorical(logits=b)).mean().item()
    assert divergence(a, a + 3.0) == pytest.approx(0, abs=1e-6)
    assert divergence(a, b) == pytest.approx(expected, abs=1e-6)


def test_bench_measures_from_everything_to_nothing():
    mystery = make_mystery("x", 32)
    bench = Bench(mystery.model, mystery.sample(16, 0))
    assert bench.distance(bench.heads, bench.heads) == pytest.approx(0, abs=1e-6)
    assert bench.distance(bench.heads, []) == pytest.approx(1)
    torch.testing.assert_close(bench.logits(bench.heads), mystery.model(bench.tokens))


@pytest.mark.parametrize(
    ("role", "targets"),
    [  # for every query of BOS a b a a, the keys
        ("previous token", [[], [0], [1], [2], [3]]),
        ("two back", [[], [], [0], [1], [2]]),
        ("first token", [[], [1], [1], [1], [1]]),
        ("duplicate token", [[], [], [], [1], [1, 3]]),
        ("induction", [[], [], [], [2], [2, 4]]),
        ("inhibition", [[], [], [], [3], [3, 4]]),
        ("mover", [[0], [0, 1], [0, 1, 2], [0, 2], [0, 2]]),
    ],
)
def test_where_each_role_looks(role, targets):
    mask = TARGETS[role](torch.tensor([[0, 1, 2, 1, 1]]))[0]
    assert [row.nonzero().flatten().tolist() for row in mask] == targets


def test_rest_on_bos_does_not_count_and_a_resting_head_has_no_role():
    targets = TARGETS["previous token"](torch.tensor([[0, 1, 2, 3]]))
    half = 0.5 * targets[0].float()
    half[:, 0] += 1 - half.sum(-1)
    assert share_on_targets(half[None], targets) == pytest.approx(1)
    assert share_on_targets(torch.eye(4)[[0, 0, 0, 0]][None], targets) == 0


def test_two_names_stand_once_and_twice_and_the_question_last():
    inputs = TwoNames((1, 2, 3), (4, 5), 6, 9)
    tokens = inputs.sample(50, torch.Generator().manual_seed(0))
    assert tokens.shape == (50, 9)
    assert (tokens[:, 0] == 0).all()
    assert (tokens[:, -1] == 6).all()
    for row in tokens.tolist():
        assert sorted(row.count(name) for name in (1, 2, 3)) == [0, 1, 2]
        assert row.count(6) == 1
