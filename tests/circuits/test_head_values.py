"""Every query head's own copy of its values, whatever a model shares."""

from types import SimpleNamespace

import pytest
import torch

from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.circuits import head_values


def test_heads_of_their_own_keep_their_values():
    model = random_model()
    _, cache = model.run_with_cache(random_tokens(2, 7))
    assert torch.equal(head_values(model, cache, 1), cache["v", 1])


def test_what_a_head_would_write_adds_up_to_what_it_writes():
    model = random_model()
    _, cache = model.run_with_cache(random_tokens(2, 7))
    written = torch.einsum("bkhd,hdm->bkhm", head_values(model, cache, 2), model.W_O[2])
    out = torch.einsum("bhqk,bkhm->bqm", cache["pattern", 2], written)
    assert torch.allclose(out, cache["attn_out", 2], atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (2, 5, 12)])
def test_shared_values_are_copied_to_each_head_of_their_group(shape):
    v = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    model = SimpleNamespace(cfg=SimpleNamespace(n_heads=6, d_head=4))
    values = head_values(model, {("v", 1): v}, 1)
    assert values.shape == (2, 5, 6, 4)
    for head in range(6):
        assert torch.equal(values[:, :, head], v.view(2, 5, 3, 4)[:, :, head // 2])
