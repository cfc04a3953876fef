"""Right answers to `head_jobs`, written in other ways than the reference."""

from .shared import mean_hook, profile_by_einsum, profile_by_loops


def jobs_by_log_probs(model, head, texts):
    def loss(tokens, hooks):
        log_probs = model.run_with_hooks(tokens, fwd_hooks=hooks).double().log_softmax(-1)
        said = log_probs[:, :-1].gather(2, tokens[:, 1:].unsqueeze(-1))
        return -said.mean()

    name = f"blocks.{head[0]}.attn.hook_z"
    return {
        context: {
            "cost": loss(tokens, [(name, mean_hook([head[1]]))]) - loss(tokens, []),
            **{n: s[head] for n, s in profile_by_einsum(model, tokens).items()},
        }
        for context, tokens in texts.items()
    }


def jobs_by_permanent_hooks(model, head, texts):
    jobs = {}
    for context, tokens in texts.items():
        profile = profile_by_loops(model, tokens)
        jobs[context] = {name: float(scores[head[0], head[1]]) for name, scores in profile.items()}
        before = model(tokens, return_type="loss")
        model.add_hook(f"blocks.{head[0]}.attn.hook_z", mean_hook([head[1]]))
        jobs[context]["cost"] = model(tokens, return_type="loss").item() - before.item()
        model.reset_hooks()
    return jobs


RIGHT = [jobs_by_log_probs, jobs_by_permanent_hooks]
