"""What several right answers of the chapter use."""

from einops import einsum
from transformer_lens import utilities as utils


def residual_by_continuing(model, clean_prompt, corrupt_prompt, layer, position):
    """From the patched residual stream on, without the layers below."""
    clean, corrupted = (
        model.run_with_cache(prompt)[1]["resid_pre", layer]
        for prompt in (clean_prompt, corrupt_prompt)
    )
    corrupted = corrupted.clone()
    corrupted[:, position] = clean[:, position]
    return model(corrupted, start_at_layer=layer)


def tokens_of(model, prompt):
    return model.to_tokens(prompt) if isinstance(prompt, str) else prompt


def head_by_result(model, clean_prompt, corrupt_prompt, layer, head):
    """Through what the head adds to the residual stream."""
    clean, corrupted = (
        model.run_with_cache(prompt)[1]["z", layer][:, :, head]
        for prompt in (clean_prompt, corrupt_prompt)
    )
    change = einsum(
        clean - corrupted,
        model.W_O[layer, head],
        "batch pos d_head, d_head d_model -> batch pos d_model",
    )
    name = utils.get_act_name("attn_out", layer)
    return model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, lambda x, hook: x + change)])
