"""Right answers to `head_jobs`, written in other ways than the reference."""

from .shared import mean_hook, profile_by_einsum, profile_by_loops


def jobs_by_log_probs(model, heads, texts):
    def loss(tokens, hooks):
        log_probs = model.run_with_hooks(tokens, fwd_hooks=hooks).double().log_softmax(-1)
        said = log_probs[:, :-1].gather(2, tokens[:, 1:].unsqueeze(-1))
        return -said.mean((1, 2))

    def job(tokens, head):
        name = f"blocks.{head[0]}.attn.hook_z"
        return {
            "cost": loss(tokens, [(name, mean_hook([head[1]]))]) - loss(tokens, []),
            **{n: s[head] for n, s in profile_by_einsum(model, tokens).items()},
        }

    return {
        context: {head: job(tokens, head) for head in heads} for context, tokens in texts.items()
    }


def jobs_by_permanent_hooks(model, heads, texts):
    jobs = {context: {} for context in texts}
    for layer, index in heads:
        for context, tokens in texts.items():
            profile = profile_by_loops(model, tokens)
            found = {name: float(scores[layer, index]) for name, scores in profile.items()}
            before = model(tokens, return_type="loss", loss_per_token=True)
            model.add_hook(f"blocks.{layer}.attn.hook_z", mean_hook([index]))
            after = model(tokens, return_type="loss", loss_per_token=True)
            model.reset_hooks()
            found["cost"] = [float(row.mean()) for row in after - before]
            jobs[context][layer, index] = found
    return jobs


RIGHT = [jobs_by_log_probs, jobs_by_permanent_hooks]
