"""Right answers to `head_write`, written in other ways than the reference."""

from einops import einsum


def write_by_result(model, prompt, layer, head):
    model.cfg.use_attn_result = True
    try:
        _, cache = model.run_with_cache(prompt)
    finally:
        model.cfg.use_attn_result = False
    write = cache["result", layer][0, -1, head]
    if "ln_final.hook_scale" in cache:
        write = (write - write.mean()) / cache["ln_final.hook_scale"][0, -1]
    return (write @ model.W_U).double()


def write_by_values(model, prompt, layer, head):
    _, cache = model.run_with_cache(prompt)
    pattern, v = cache["pattern", layer][0, head, -1], cache["v", layer][0, :, head]
    write = einsum(pattern, v, model.W_O[layer, head], "k, k d_head, d_head d_model -> d_model")
    if "ln_final.hook_scale" in cache:
        write = (write - write.mean()) / cache["ln_final.hook_scale"][0, -1]
    return einsum(write, model.W_U, "d_model, d_model d_vocab -> d_vocab")


RIGHT = [write_by_result, write_by_values]
