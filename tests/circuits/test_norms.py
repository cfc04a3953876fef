"""What norms do to a sum of writes."""

import pytest
import torch

from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.circuits.norms import centred, final_scale, final_scale_of
from tests.circuits.architectures import gpt2_shaped, random_words, rotary_with_grouped_keys

MODELS = {
    "LayerNorm": gpt2_shaped,
    "RMSNorm": rotary_with_grouped_keys,
    "no norm": random_model,
}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request):
    with torch.no_grad():
        yield MODELS[request.param]()


@torch.no_grad()
def test_what_a_norm_passes_on_over_its_scale_is_what_it_gives(model):
    words = random_tokens if model.cfg.d_vocab < 100 else random_words
    tokens = words(3, 6, seed=2)
    _, cache = model.run_with_cache(tokens)
    final = cache["resid_post", model.cfg.n_layers - 1]
    scale = final_scale_of(model, final)
    assert scale.shape == (3, 6)
    torch.testing.assert_close(centred(model, final) / scale[..., None], model.ln_final(final))
    cached = final_scale(cache).expand(3, 6, 1)[..., 0]
    torch.testing.assert_close(scale, cached, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_centring_a_direction_is_centring_what_it_reads(model):
    x, direction = torch.randn(2, 5, model.cfg.d_model, generator=torch.Generator().manual_seed(1))
    read = centred(model, x) @ direction[0]
    torch.testing.assert_close(read, x @ centred(model, direction[0]), atol=1e-5, rtol=1e-4)
    takes_the_mean = "LN" in str(model.cfg.normalization_type)
    assert torch.equal(centred(model, x), x) != takes_the_mean
