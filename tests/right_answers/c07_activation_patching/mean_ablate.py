"""Right answers to `mean_ablate`, written in other ways than the reference."""

from einops import reduce

from circuits_course.circuits import Ablation


def ablate_by_engine(model, prompt, reference, heads):
    return Ablation(model, prompt if not isinstance(prompt, str) else model.to_tokens(prompt),
                    "mean", reference=reference).logits(heads)  # fmt: skip


def ablate_with_a_hook_each(model, prompt, reference, heads):
    _, cache = model.run_with_cache(reference)

    def hook_for(layer, head):
        mean = reduce(cache["z", layer], "prompt pos head d_head -> pos head d_head", "mean")

        def put(z, hook):
            z[..., head, :] = mean[:, head]
            return z

        return f"blocks.{layer}.attn.hook_z", put

    return model.run_with_hooks(prompt, fwd_hooks=[hook_for(*head) for head in heads])


RIGHT = [ablate_by_engine, ablate_with_a_hook_each]
