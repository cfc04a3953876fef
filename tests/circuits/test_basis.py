"""The residual stream with named directions, and heads put into it by hand."""

from __future__ import annotations

import pytest
import torch

from circuits_course.circuits.basis import Basis, HeadWeights, checked, small_basis
from circuits_course.errors import CourseError, UnknownName


@pytest.fixture(params=[None, 0])
def basis(request):
    return small_basis(request.param)


def head_of(basis, d_head=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    W_Q, W_K, W_V, W_O = torch.randn(4, basis.d_model, d_head, generator=generator)
    return HeadWeights(W_Q, W_K, W_V, W_O.T)


def test_directions_are_orthonormal_and_each_belongs_to_one_group(basis):
    gram = basis.directions @ basis.directions.T
    torch.testing.assert_close(gram, torch.eye(basis.d_model), atol=1e-5, rtol=0)
    assert len(set(basis.names)) == basis.d_model
    torch.testing.assert_close(basis.group("token")[1], basis.direction("token a"))


def test_embedding_says_symbol_features_and_one(basis):
    three = basis.W_E[basis.vocabulary.index("3")]
    amounts = dict(zip(basis.names, (basis.directions @ three).tolist(), strict=True))
    on = {name: round(amount, 4) for name, amount in amounts.items() if abs(amount) > 1e-4}
    assert on == {"token 3": 1.0, "one": 1.0, "digit": 1.0, "value": 3.0}


def test_unembedding_reads_out_but_never_bos(basis):
    logits = basis.out @ basis.W_U
    expected = torch.eye(basis.d_vocab)
    expected[0, 0] = 0.0
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_in_names_reads_a_matrix_along_the_directions_it_acts_on(basis):
    matrix = torch.outer(basis.direction("vowel"), torch.tensor([1.0, -2.0]))
    matrix += torch.outer(basis.direction("position 4"), torch.tensor([0.5, 0.0]))
    names, values = basis.in_names(matrix)
    assert names == ["position 4", "vowel"]
    expected = torch.tensor([[0.5, 0.0], [1.0, -2.0]])
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)


def test_model_runs_each_head_as_if_it_stood_alone(basis):
    """Padding to a common d_head changes neither pattern nor write."""
    narrow, wide = head_of(basis, 2), head_of(basis, 7, seed=1)
    tokens = torch.tensor([[0, 3, 1, 4, 1, 5]])
    silent = wide._replace(W_O=torch.zeros_like(wide.W_O))
    alone, together = (basis.model(*heads) for heads in ([narrow], [narrow, silent]))
    assert together.cfg.d_head == 7
    torch.testing.assert_close(alone(tokens), together(tokens), atol=1e-4, rtol=1e-4)


def test_model_scores_are_query_times_key_over_root_d_head(basis):
    head = head_of(basis, 3)
    _, cache = basis.model(head).run_with_cache(torch.tensor([[0, 2, 6]]))
    x = basis.W_E[[0, 2, 6]] + basis.position[:3]
    expected = (x @ head.W_Q) @ (x @ head.W_K).T / 3**0.5
    scores = cache["attn_scores", 0][0, 0]
    visible = torch.ones(3, 3).tril().bool()
    torch.testing.assert_close(scores[visible], expected[visible], atol=1e-4, rtol=1e-4)


def test_values_never_see_positions(basis):
    head = head_of(basis, 3)
    _, cache = basis.model(head).run_with_cache(torch.tensor([[5, 5, 5]]))
    v = cache["v", 0][0]
    torch.testing.assert_close(v[0], v[2])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"W_Q": torch.zeros(3, 44)}, "W_Q must be .* transposed"),
        ({"W_O": torch.zeros(44, 3)}, "W_O must be .* transposed"),
        ({"W_V": torch.zeros(5, 3)}, "d_model is 44"),
        ({"W_K": torch.zeros(44, 2)}, "d_head must agree"),
        ({"W_K": torch.full((44, 3), torch.nan)}, "NaN"),
        ({"W_O": None}, "is None"),
    ],
)
def test_a_matrix_that_does_not_fit_is_named(change, says):
    basis = small_basis()
    with pytest.raises(CourseError, match=says):
        checked(basis, head_of(basis)._replace(**change))


@pytest.mark.parametrize("answer", [torch.zeros(4, 4), None, (torch.zeros(2),), 3])
def test_what_is_no_head_is_said(answer):
    with pytest.raises(CourseError, match="four matrices"):
        checked(small_basis(), answer)


def test_unknown_names_meet_the_nearest():
    with pytest.raises(UnknownName, match="vowel"):
        small_basis().direction("vowels")
    with pytest.raises(UnknownName, match="token"):
        small_basis().group("tokens")
    with pytest.raises(UnknownName):
        Basis(("BOS", "a"), 4, {"vowel": {"BOS": 1.0}})


def test_run_tells_patterns_writes_and_what_is_said(basis):
    W_Q, W_K = 30.0 * basis.position.T, basis.position.T
    copies = HeadWeights(W_Q, W_K, basis.token.T, 10.0 * basis.out)  # each place looks at itself
    silent = copies._replace(W_O=torch.zeros_like(copies.W_O))
    ran = basis.run("ab", copies, silent)
    assert ran.labels[1:] == ["a", "b"]
    assert ran.says == ["?", "a", "b"]
    assert ran.patterns.shape == (2, 3, 3)
    torch.testing.assert_close(ran.patterns[0], torch.eye(3), atol=1e-2, rtol=0)
    assert ran.written.shape == (3, basis.d_model)
    assert set(basis.run("ab", silent).says) == {"?"}
