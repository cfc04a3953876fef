# %% [markdown]
# # 04 Induction heads
#
# **You will be able to** find the heads that let a model continue a sequence it has never seen, trace them through
# one prompt, measure what each of them writes, show by knock-out which of them the model needs, watch them being
# born, and say which popular claims about them hold in a real language model.
#
# **Time** 120 to 150 minutes. **You need** chapters 00 to 03, or to have met attention patterns, $W_{OV}$
# and hooks elsewhere. **Models** `induction-2l` first, a transformer of two layers whose training data we know
# exactly; then SmolLM2, a real language model.
#
# Show a model something once, and it can use it a few words later. Nobody changed its weights, so
# something in it must have *looked back*. This chapter is about the circuit that does: Elhage et
# al. (2021) found it and Olsson et al. (2022) followed it through training.

# %%
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course import Chapter, load_model, show_table, verdict
from circuits_course.circuits import InductionTrace, head_name, head_scores, strongest_heads
from circuits_course.data import bos_token, longest_period
from circuits_course.plots import plot_attention, plot_bars, plot_heads, plot_lines, plot_scatter

torch.set_grad_enabled(False)
chapter = Chapter("04_induction_heads")
model = load_model("induction-2l")

# %% [markdown]
# ## Before you start
#
# Three questions from earlier chapters. If one of them is new to you, its feedback will do.

# %%
chapter.quiz("what_is_moved")

# %%
chapter.quiz("what_a_key_knows")

# %%
chapter.quiz("previous_token_writes")

# %%
chapter.review()

# %% [markdown]
# ## 1. A sequence nobody has seen
#
# How do you test whether a model looks back? Ordinary text will not do: a model may continue "Harry
# Pot-" from what it learned in training. So we take tokens **at random** and show them **twice**. The
# first copy cannot be predicted by anyone. The second can be predicted by whoever looks back, and by
# nobody else.
#
# `BOS  q x b  q x b`. Token BOS begins every sequence; the length of one copy is its *period*.

# %% exercise="repeated_tokens"

# %% [markdown]
# *Did your draws leave BOS out?* The check lets both pass. A second BOS in the middle would be a landmark
# that no ordinary token is: with 50,000 tokens that hardly ever happens, with 64 it does.

# %%
PERIOD = 25
tokens = repeated_tokens(batch=32, period=PERIOD, d_vocab=model.cfg.d_vocab, bos=bos_token(model),
                         seed=0)
print(" ".join(model.to_str_tokens(tokens[0])))

# %%
chapter.predict(
    "second_copy",
    choices=[
        "high throughout: random is random",
        "low throughout",
        "high in the first copy, low in the second",
    ],
)

# %% [markdown]
# ### How surprised was it, token by token?
#
# A model's **loss** on a token is $-\log p$, where $p$ is the probability it gave that token: 0 nats where
# it was certain, $\ln 63 = 4.14$ where it guessed evenly among 63 symbols. We want it for every token, because an
# average over the sequence would hide what happens in its middle.

# %% exercise="loss_per_token"

# %%
logits, cache = model.run_with_cache(tokens)
losses = loss_per_token(logits, tokens)
plot_lines({"loss": losses.mean(0), "even guessing": torch.full((2 * PERIOD,), 63.0).log()},
           "induction-2l on random tokens shown twice",
           x=("position of the token", torch.arange(1, 2 * PERIOD + 1)),
           y="loss (nats), mean of 32 sequences", markers={"second copy begins": PERIOD + 1})

# %% [markdown]
# *What to see:* a cliff. The first token of the second copy is still a surprise, since nothing says that a repeat
# begins. One token later the model is on the track.

# %%
chapter.reveal("second_copy")

# %% [markdown]
# One thing does not fit. In the first copy the loss *rises* from even guessing to more than 6 nats. Why
# would a model do worse than guess? Sort the first copy's tokens by whether the *current* symbol has been there before,
# by chance.

# %%
current = tokens[:, :PERIOD]
came_before = (current[:, :, None] == current[:, None, :]).tril(-1).any(-1)
first = losses[:, :PERIOD]
show_table({f"the current symbol {name}": {"places": int(mask.sum()),
                                           "loss (nats)": first[mask].mean()}
            for name, mask in (("is new", ~came_before), ("has come before", came_before))},
           digits=2)
excess = first - torch.tensor(63.0).log()
verdict("chance repeats make more than 90 % of what the first copy costs beyond guessing",
        (excess * came_before).sum() > 0.9 * excess.sum(),
        f"{(excess * came_before).sum() / excess.sum():.0%}")

# %% [markdown]
# New symbols cost about what even guessing costs. Where a symbol turns up twice by chance, the model bets on what followed it
# the first time, and loses the bet. So it looks back already in the first copy, where it should not.

# %% [markdown]
# ## 2. Where does it look?
#
# Nothing in the model's training could have taught it these sequences. It looked back; the question is
# where. Take `BOS q x b q x b`: at the second `q` it should say `x`.

# %%
chapter.predict("where_from_second_q",
                choices=["BOS", "the first q", "the first x", "the first b"])

# %% [markdown]
# An **induction head** attends from a token to the one that *followed* an earlier copy of it
# (prefix matching), and raises the logit of what it finds there (copying). We measure the first half
# now.

# %%
from circuits_course.plots import draw

draw("looking_back", heads=["", "", ""])

# %% [markdown]
# *What to see:* three heads could look back from the last `q`, and each arrow ends somewhere else. Only the
# one in the middle lands on what the model should say.

# %% exercise="induction_score"

# %%
chapter.predict("which_layer", choices=["layer 0", "layer 1", "either"])

# %%
scores = head_scores(model, tokens, lambda pattern: induction_score(pattern, PERIOD))
plot_heads(scores, "induction-2l: who looks at the token after the earlier copy?",
           unit="induction score")

# %% [markdown]
# *What to see:* layer 0, the upper row, is pale: none of its heads does it. One cell of layer 1 is dark.

# %%
chapter.reveal("which_layer")

# %% [markdown]
# ### Look at the patterns themselves

# %%
short = model.to_tokens("qxbmztqxbmzt")
_, short_cache = model.run_with_cache(short)
previous = head_scores(model, tokens,
                       lambda pattern: pattern[..., 1:, 1:].diagonal(-1, -2, -1).mean(-1))
before, after = strongest_heads(previous, 1)[0], strongest_heads(scores, 1)[0]
plot_attention(model.to_str_tokens(short),
               torch.stack([short_cache["pattern", layer][0, head]
                            for layer, head in (before, after)]),
               "The strongest previous-token head and the strongest induction head",
               head_names=[head_name(before), head_name(after)])

# %%
chapter.reveal("where_from_second_q")

# %% [markdown]
# *What to see:* two diagonals. The head of layer 0 looks one token back, everywhere. The head of layer 1 rests
# on BOS through the first copy; in the second its dark cells run along a diagonal that begins at
# the first `x`, one to the right of the matching `q`.
#
# ### All of them, in any model
#
# Is a high score proof of looking *for a token*? Think of a head that looks 49 places back, whatever stands there. At a period of
# 50 its score is 1.00, and it does nothing of the kind. Change the period, and it is found out. So a head counts only if it
# passes at **every** period.

# %% exercise="find_induction_heads"

# %% tags=["nbval-check-output"]
induction_heads = find_induction_heads(model)
print("Induction heads of induction-2l:", ", ".join(map(head_name, induction_heads)))

# %% [markdown]
# ## 3. The whole walk: [A][B] ... [A] → [B]
#
# Why does it take two layers? Follow one prompt. At the last token, `q`, an induction head asks: *where
# is the position whose previous token is `q`?* For that question to have an answer, a key must say
# which token stood **before** it. In layer 0 a key knows its own token and its position. So somebody has to
# write the previous token there first:
#
# 1. **Layer 0, at the first `x`:** the previous-token head attends to `q` and writes "before me: q".
# 2. **Layer 1, at the last `q`:** the query "I am q" meets the key "before me: q" at `x`. This is
#    *K-composition*: a head's keys read what another head wrote (chapter 05).
# 3. **Layer 1 again:** having found `x`, its $W_{OV}$ copies the token `x` to the logits.

# %%
said, walk = model.run_with_cache("qxbmztq")
draw("induction_two_steps", tokens=model.to_str_tokens("qxbmztq"),
     heads=[head_name(before), head_name(after)],
     patterns=[walk["pattern", layer][0, head] for layer, head in (before, after)],
     probability=said[0, -1].softmax(-1)[model.to_tokens("x", prepend_bos=False)].item())

# %% [markdown]
# *What to see:* the same three steps. (1) writes a label into the lane of `x`, (2) asks for that label, (3)
# moves `x` to the end. The arrows of 1 and 3 are as thick as the model's attention in this prompt, and the number
# above is its probability of `x`.
#
# Now trace it in the model.

# %% exercise="trace_induction"

# %%
trace = trace_induction(model, "qxbmztq")
print(trace)
verdict("the model says what followed the earlier q", trace.is_induction,
        f"it says {trace.predicted!r}")

# %% [markdown]
# The walk as a picture, measured on this prompt. The slider goes through its five steps; "cut" silences the heads
# of step 2 at the first `x`.

# %%
from circuits_course.circuits import walk_induction
from circuits_course.plots import Walk

Walk(walk_induction(model, "qxbmztq"))

# %% [markdown]
# *What to see:* the last step, with all that led to it. Solid arrows move something, as thick as their attention;
# the dotted one asks. At step 3 each token of the prompt is put to the end in turn: the key of `x` answers to `q` alone.
#
# ### Cut the wire
#
# That story makes a prediction that a picture cannot test: without the previous-token head, the induction head loses
# its way, although nobody touched *it*. `knock_out_hooks` puts a head's mean in place of its output, as in chapter 03.
# `knock_out_hooks??` shows how.


# %%
from circuits_course.circuits import knock_out_hooks


def where_it_looks(heads: list) -> dict[str, Tensor]:
    """Attention of the strongest induction head in the second copy while `heads` are out."""
    with model.hooks(fwd_hooks=knock_out_hooks(heads)):
        found = head_scores(model, tokens, lambda pattern: induction_score(pattern, PERIOD))
        to_bos = head_scores(model, tokens, lambda pattern: pattern[..., 1 + PERIOD :, 0].mean(-1))
    return {"after the earlier copy": found[after], "on BOS": to_bos[after]}


whole, cut = where_it_looks([]), where_it_looks([before])
show_table({"whole model": whole, f"without {head_name(before)}": cut},
           caption=f"Where head {head_name(after)} looks in the second copy", digits=2)
verdict("without the head below, most of its attention rests on BOS", cut["on BOS"] > 0.5)

# %% [markdown]
# A head of layer 1 no longer finds its place because a head of layer 0 fell silent. It has not gone blind: it
# rests on BOS, as heads do that find nothing.

# %%
chapter.explain("why_two_layers")

# %% [markdown]
# ## 4. What does it write?
#
# Looking at the right token is half of it. The other half is what the head writes when it looks. There are two ways to ask:
# on a given text, or from the weights, for all tokens at once. We take the text first.
#
# ### Direct logit attribution
#
# The residual stream is a sum: the embedding, plus what each head wrote. The logits are that sum, divided by the final norm's scale, times
# $W_U$. So every head has its own share in every logit, the part that travels from it to the output and through nothing else:
#
# $$\text{direct logits of a head} = \frac{z\, W_O}{\text{scale}}\, W_U .$$
#
# Two things to mind. A head that raises *all* logits alike changes no probability, so the mean over the vocabulary is
# taken off. And the scale is the one that the whole run had: only then do the shares add up.

# %% exercise="direct_logits"

# %%
from circuits_course.circuits import final_scale


def push(model, cache, tokens, head):
    """How much a head raises the next token directly, in the second copy: [batch, period - 1]."""
    (layer, h), period = head, tokens.shape[1] // 2
    places = slice(1 + period, -1)  # in the second copy; at the last place nothing comes next
    z, targets = cache["z", layer][:, places, h], tokens.roll(-1, dims=1)[:, places]
    scale = final_scale(cache).expand(*tokens.shape, 1)[:, places]
    return direct_logits(z, model.W_O[layer, h], scale, model.W_U, targets)


pushes = {(i, j): push(model, cache, tokens, (i, j)).mean() for i in range(2) for j in range(4)}
total = (logits - logits.mean(-1, keepdim=True))[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
total = total[:, 1 + PERIOD :].mean()

# %%
share = pushes[after] / total
show_table([{"head": head_name(head), "looks: induction score": scores[head], "writes: direct logit": value}
            for head, value in pushes.items()], digits=2)
verdict(f"{head_name(after)} writes nearly all of the right token's logit by itself", share > 0.9,
        f"{pushes[after]:.1f} of {total:.1f}, the mean of the vocabulary being 0")

# %% [markdown]
# In this model one head does all of the writing. Remember that: the real model in section 8 does not work this way.
#
# ### From the weights: does it copy?
#
# From token to logits a head's weights are $W_E W_{OV} W_U$, a matrix of vocabulary × vocabulary: row = token looked at,
# column = token whose logit changes. A head **copies** if each token raises its own logit. Looking at the diagonal alone would
# be fooled by heads that raise everything, so Elhage et al. (2021, "Detecting Copying Behavior") use the **eigenvalues** $\lambda$:
# if looking at a mixture of tokens raises the same mixture, its eigenvalue is positive. The score
# $\sum \lambda / \sum |\lambda|$ is 1 if all are positive and $-1$ if all are negative.
#
# With 50,000 tokens that matrix would take 10 GB. But it is a product of two thin factors, $A B$ with $A$
# `[d_vocab, d_head]`, and $A B$ has the same non-zero eigenvalues as $B A$, which is `[d_head, d_head]`.
# TransformerLens keeps such products apart as a `FactoredMatrix` with the factors `.A` and `.B`.

# %%
chapter.predict("copying_alone", choices=["yes", "no, it does not say where the head looks"])

# %% exercise="copying_score"

# %%
from circuits_course.circuits import token_OV

every_head = list(pushes)
copying = {head: copying_score(token_OV(model, *head)).item() for head in every_head}
plot_scatter(("induction score (where it looks)", [scores[head].item() for head in every_head]),
             ("copying score (what it writes)", list(copying.values())),
             "Looking and copying are two things", labels=list(map(head_name, every_head)),
             groups=[f"layer {layer}" for layer, _ in every_head])

# %% [markdown]
# *What to see:* the induction head is at the right **and** at the top. Another is as high and far to the left: 0.0. Does it copy
# something else? Count for how many of the 63 symbols the symbol raised most is the symbol itself.


# %%
def raises_itself_most(head: tuple[int, int]) -> int:
    OV = token_OV(model, *head)
    return int(((OV.A @ OV.B)[1:, 1:].argmax(-1) == torch.arange(63)).sum())


rows = [{"head": head_name(h), "copying score": copying[h], "raise themselves most, of 63": raises_itself_most(h)}
        for h in every_head if copying[h] > 0.5]
show_table(rows, digits=2)
verdict("a score near 1 is no proof of copying: head 0.0", copying[0, 0] > 0.9 and raises_itself_most((0, 0)) < 10,
        f"score {copying[0, 0]:.2f}, {raises_itself_most((0, 0))} of 63")

# %% [markdown]
# Positive eigenvalues say that *mixtures* of tokens are raised along themselves. Elhage et al. warn of it in the same section: they
# are a summary, and no proof: the score neither sees where the head looks, nor, on its own, what becomes of a single token.
# Neither half alone makes an induction head.

# %%
chapter.reveal("copying_alone")

# %% [markdown]
# ### A trap of scale
#
# There is a second gap. $W_E$ is what a token looks like to a head of **layer 0**. A head of layer 17 does not read rows of $W_E$: it
# reads what the layers below have made of them. The least that we can do is to let those layers see the token once, alone
# after BOS. That is its **effective embedding**.

# %% exercise="effective_embedding"

# %%
symbols = torch.arange(1, 64)
seen = effective_embedding(model, symbols, layer=1)
change = (seen - model.W_E[symbols]).norm(dim=-1) / model.W_E[symbols].norm(dim=-1)
effective = copying_score(token_OV(model, *after, seen, symbols))
show_table({"from W_E": copying[after], "from the effective embedding": effective},
           columns=["", f"copying score of {head_name(after)}"], digits=2)
print(f"Layer 0 changes a symbol that stands alone by {change.mean():.0%} of its length.")

# %% [markdown]
# In this small model it makes no difference to the verdict. In section 8 it turns three verdicts round.

# %% [markdown]
# ## 5. Does it matter?
#
# Scores say what a head looks like. Whether the model *needs* it is a question for an experiment: take
# heads away, and see what it costs.

# %%
chapter.predict(
    "who_carries",
    choices=[
        "the induction head",
        "the previous-token head below it",
        "each of those two",
        "every head, a little",
    ],
)

# %% [markdown]
# `added_losses` runs your `knock_out_losses` of chapter 03 for many sets of heads at once (mean ablation) and gives the loss that each
# adds to each token. We take each head away by itself, on sequences that had no part in finding them.

# %%
from circuits_course.circuits import added_losses

fresh = repeated_tokens(32, PERIOD, model.cfg.d_vocab, bos_token(model), seed=7)
added = added_losses(model, fresh, [[head] for head in every_head])
second_copy = added[:, :, 1 + PERIOD :].mean((1, 2)).view(2, 4)
plot_heads(second_copy, "What the second copy costs more without each head (mean ablation)",
           unit="added loss (nats)", diverging=True)

# %% [markdown]
# *What to see:* two dark cells, one in each layer, and next to nothing elsewhere.

# %%
chapter.reveal("who_carries")

# %% [markdown]
# The circuit is a chain, and a chain breaks at either link.

# %% [markdown]
# And its links? Cut every edge by itself, one reader that no longer hears one writer: 81 of them.

# %%
from circuits_course.circuits import discovery, mean_losses
from circuits_course.plots import plot_circuit

few = fresh[:8]


def gain(logits: Tensor) -> Tensor:
    """Log-probability of the right tokens of the second copy, on average."""
    return -mean_losses(logits, few, PERIOD + 2).mean()


edges = discovery.edge_effects(model, few, None, gain)
roles = {head_name(before): "previous token", head_name(after): "induction"}
plot_circuit(roles, discovery.arrows(edges, least=0.2), "induction-2l: edges whose cut costs the second copy",
             unit="nats lost when cut", others=list(map(head_name, every_head)))

# %% [markdown]
# *What to see:* five edges, the same five as in the circuit that you wrote by hand in chapter 02, and six heads
# that no strong edge meets, pale. The one from layer 0 to layer 1 goes into the keys.

# %% [markdown]
# The same heads to touch, at work on one text. Choose a head by mouse or arrow keys: where it looks, whom its
# queries, keys and values **hear**, and what it writes to the logits. *Silence* it, and the answer and every pattern
# follow. A silent head says what it says on average on random texts.

# %%
from circuits_course.circuits import CircuitAtWork
from circuits_course.plots import CircuitExplorer

others = repeated_tokens(32, 7, model.cfg.d_vocab, bos_token(model), seed=9)[:, :8]
at_work = CircuitAtWork(model, "qxbmztq", {head: roles.get(head_name(head), "") for head in every_head},
                        right="x", reference=others)
CircuitExplorer(at_work, "induction-2l on 'qxbmztq': what follows the second q?")

# %% [markdown]
# *What to see:* the edges again, now measured on **one** text, and by other means: a share is the attention (Q, K), or
# the part of what is written (V), that goes when the reader no longer hears the sender. Silence 0.3 and choose 1.3: it
# looks at BOS alone, though nobody touched it. Let all speak, and silence the six others one after another. The answer
# hardly misses them.

# %% [markdown]
# ## 6. How did it come about?
#
# `induction-2l` was saved many times while it was trained. Half of its data are Markov chains, which can be
# predicted from the last token; the other half are repeated random segments. What came first, and did it come
# gradually?
#
# A number to follow: how much better does the model predict *late* in its context than early? Olsson et
# al. (2022) call that difference the **in-context-learning score**: loss at the 500th token minus loss at the 50th. One token of a few
# sequences is a noisy thing, so we allow for a window of tokens, and keep one score for each sequence, to see how they spread.
#
# Counting is the whole difficulty. In this course BOS is token 0, and nothing predicts it: entry $i$ of a loss is about token $i + 1$.

# %% exercise="in_context_learning_score"

# %% [markdown]
# Our model's context is 64 tokens long, so we compare tokens 5 to 8 with tokens 59 to 62, on a fresh sample of its training data.


# %%
from circuits_course.models import RECIPES, checkpoints

sample = RECIPES["induction-2l"].data.batch(128, torch.Generator().manual_seed(1))
saved = checkpoints("induction-2l")


# %%
def measure(step: int) -> dict[str, float]:
    """What a checkpoint can do."""
    then = load_model("induction-2l", checkpoint=step)
    logits, cache = then.run_with_cache(tokens)
    loss, sample_loss = loss_per_token(logits, tokens), loss_per_token(then(sample), sample)
    looks_back = cache["pattern", before[0]][:, before[1], 1:, 1:].diagonal(-1, -2, -1)
    return {
        "loss, first copy": loss[:, : PERIOD - 1].mean().item(),
        "loss, second copy": loss[:, PERIOD + 1 :].mean().item(),
        "in-context-learning score": in_context_learning_score(sample_loss, 5, 59, 4).mean().item(),
        "previous token": looks_back.mean().item(),
        "induction": induction_score(cache["pattern", after[0]], PERIOD)[:, after[1]].mean().item(),
    }


# %%
frames = {step: measure(step) for step in saved}
names = ["loss, first copy", "loss, second copy", "in-context-learning score"]
plot_lines({name: [frame[name] for frame in frames.values()] for name in names},
           "Losses during training", x=("training step", saved), y="nats")

# %%
plot_lines({f"head {head_name(head)}, {role}": [frame[role] for frame in frames.values()]
            for head, role in ((before, "previous token"), (after, "induction"))},
           "Scores during training", x=("training step", saved),
           y="mean attention to the right place")

# %% [markdown]
# *What to see:* nothing for a long time, then everything within a short stretch: the **phase change**. Second-copy loss and
# in-context-learning score fall together, and both heads sharpen in the same stretch, the one below no
# later than the one above.

# %%
second = torch.tensor([frame["loss, second copy"] for frame in frames.values()])
fallen = (second[0] - second) / (second[0] - second[-1])
tenth, most = (saved[int((fallen > share).int().argmax())] for share in (0.1, 0.9))
verdict("the middle 80 % of the fall takes less than a quarter of all steps",
        most - tenth < saved[-1] / 4, f"steps {tenth} to {most} of {saved[-1]}")

# %% [markdown]
# Now walk through it. Move the slider (or use the arrow keys) and watch the two diagonals appear. A saved
# notebook shows the end of training.


# %%
from circuits_course.plots import CheckpointScrubber


def show_frame(step: int, frame: dict[str, float]):
    _, cache = load_model("induction-2l", checkpoint=step).run_with_cache(short)
    return plot_attention(model.to_str_tokens(short),
                          torch.stack([cache["pattern", layer][0, head]
                                       for layer, head in (before, after)]),
                          f"Step {step}: second-copy loss {frame['loss, second copy']:.2f}",
                          head_names=[head_name(before), head_name(after)])


CheckpointScrubber(frames, show_frame)

# %% [markdown]
# ### Live
#
# You need not take the checkpoints' word for it. The next cell trains the same kind of model from scratch, until its
# second-copy loss has fallen below a third of the first copy's. To be quick it takes half the batch, and three
# quarters of it repeats. (What if *all* data were repeats? Set `repeats_share=1.0` and see whether more is better.)


# %%
from dataclasses import replace

from circuits_course.models import steps
from circuits_course.plots import LiveTraining


# %%
def both_copies(step) -> dict[str, Tensor]:
    loss = loss_per_token(step.model(tokens), tokens)
    return {"first copy": loss[:, : PERIOD - 1].mean(), "second copy": loss[:, PERIOD + 1 :].mean()}


def train_live(name: str, title: str, last: int, repeats_share: float = 0.75, stop=None):
    """Trains a model with half the batch and more repeats, measuring both copies on the way."""
    recipe = RECIPES[name]
    data = replace(recipe.data, repeats_share=repeats_share)
    quick = replace(recipe, batch=32, data=data, threads=torch.get_num_threads())
    with LiveTraining(title, total=last, y_title="loss (nats)") as live:
        return live.follow(steps(quick), both_copies, stop=stop)


# %%
born = train_live("induction-2l", "Two layers, from scratch", 600,
                  stop=lambda seen: seen["second copy"][-1] < seen["first copy"][-1] / 3)
verdict("the phase change happened while you watched", born["second copy"][-1] < 2)

# %% [markdown]
# *What to see:* the same cliff, now along training instead of along the sequence.
#
# ## 7. One layer, after all
#
# If the story is right, two layers are not needed for their own sake. They are needed because keys of
# the first layer do not know the token before them. Olsson et al. (2022, "Argument 2") tested that. They gave
# each head of a **one-layer** model keys that are mixed with the key before them,
#
# $$k_j \leftarrow s\, k_j + (1 - s)\, k_{j-1}, \qquad s = \mathrm{sigmoid}(\alpha),$$
#
# with one number $\alpha$ per head, learned like any other weight.

# %%
chapter.predict(
    "one_layer",
    choices=["neither: it takes two layers", "only the one with smeared keys", "both"],
)

# %% exercise="smear_keys"

# %% [markdown]
# The course's transformer has this built in (`smeared_keys=True`). Train a one-layer model with plain and one with smeared
# keys, on the same data.

# %%
from circuits_course.models import smear

keys, alpha = torch.randn(2, 5, 3, 4), torch.randn(3)
difference = (smear_keys(keys, alpha) - smear(keys, alpha)).abs().max().item()
verdict("your smeared keys are the model's own", difference < 1e-5,
        f"largest difference {difference:.0e}")
plain = train_live("plain-1l", "One layer, plain keys", 250)
smeared = train_live("smeared-1l", "One layer, smeared keys", 250)

# %%
verdict("only the model with smeared keys learns it",
        smeared["second copy"][-1] < 1.5 and plain["second copy"][-1] > 3)
plot_lines({"plain keys": plain["second copy"], "smeared keys": smeared["second copy"]},
           "Second copies, predicted by a single layer", x=("training step", smeared["step"]),
           y="second-copy loss (nats)")

# %% [markdown]
# *What to see:* the same phase change with one layer, once keys know their predecessor. Without it the loss barely moves:
# one plain layer can at best learn that tokens of the context are likelier than others.

# %%
chapter.reveal("one_layer")

# %% [markdown]
# It was never two layers that counted, but that somebody tells the key who stood before it.
#
# ## 8. A real language model
#
# Everything so far was a model we made. Does a model trained on human text do it too? SmolLM2-135M-Instruct has 30 layers of 9 heads. Its
# weights were stored in four bits a number (Q4_1) and unpacked again, and its BOS is the chat marker `<|im_start|>`, so head numbers
# need not be those of the base model.

# %%
real = load_model("auto")
print(f"{real.cfg.n_layers} layers of {real.cfg.n_heads} heads; {real.cfg.d_vocab} tokens")

# %%
chapter.predict(
    "how_deep",
    choices=[
        "in layer 1, as in the small model",
        "in the first third",
        "around the middle",
        "in the last third",
    ],
)

# %% [markdown]
# The same test, with tokens drawn from its own vocabulary. Most are pieces of words, and no text ever had
# them in this order.

# %%
REAL_PERIOD = 40
real_tokens = repeated_tokens(8, REAL_PERIOD, real.cfg.d_vocab, bos_token(real), seed=0)
kept = ("hook_pattern", "hook_z", "ln_final.hook_scale")
real_logits, real_cache = real.run_with_cache(
    real_tokens, names_filter=lambda name: name.endswith(kept))
real_loss = loss_per_token(real_logits, real_tokens).mean(0)
plot_lines(
    {"loss": real_loss, "even guessing": torch.full_like(real_loss, real.cfg.d_vocab).log()},
    "The language model on random tokens shown twice",
    x=("position of the token", torch.arange(1, 2 * REAL_PERIOD + 1)),
    y="loss (nats), mean of 8 sequences",
    markers={"second copy begins": REAL_PERIOD + 1},
)

# %% [markdown]
# *What to see:* the cliff again, less sharp than in the small model. Random tokens cost this model more than even guessing would,
# because it expects language; and the loss sinks a little already inside the first copy. Keep that in mind for section 9.

# %%
real_patterns = [real_cache["pattern", layer] for layer in range(real.cfg.n_layers)]
real_scores = torch.stack([induction_score(p, REAL_PERIOD).mean(0) for p in real_patterns])
real_heads = find_induction_heads(real) or strongest_heads(real_scores, 3)
print("Induction heads at every period, strongest first:", ", ".join(map(head_name, real_heads)))
depths = [layer / (real.cfg.n_layers - 1) for layer, _ in real_heads]
verdict("its induction heads begin past the middle and end before the last fifth",
        min(depths) > 0.5 and max(depths) < 0.85,
        f"depth {min(depths):.2f} to {max(depths):.2f}, 0 being the first layer", model=real)
plot_heads(real_scores, "Induction scores of a real language model", unit="induction score")

# %% [markdown]
# Eight heads, in layers 17, 18, 20 and 23 of 0 to 29.

# %%
chapter.reveal("how_deep", model=real)

# %% [markdown]
# ### Do they write what they find?
#
# In the small model the head that looked was the head that wrote. Before you look: is it so here?

# %%
chapter.predict("who_writes",
                choices=["all eight", "most of them", "two or three", "none: others write"])

# %%
from circuits_course.circuits import interval

words = torch.randperm(real.cfg.d_vocab, generator=torch.Generator().manual_seed(0))[:2000]
seen = effective_embedding(real, words, layer=1)
writes = {head: push(real, real_cache, real_tokens, head).mean(1) for head in real_heads}
rows = {}
for head, (layer, h) in zip(map(head_name, real_heads), real_heads, strict=True):
    rows[head] = {"looks": real_scores[layer, h],
                  "writes: next token's logit": str(interval(writes[layer, h])),
                  "copying, W_E": copying_score(token_OV(real, layer, h, real.W_E[words], words)),
                  "copying, effective": copying_score(token_OV(real, layer, h, seen, words))}
show_table(rows, caption="What heads with high induction scores look at and write", digits=2)

# %%
writers = [head for head in real_heads if interval(writes[head]).low > 0.05] or real_heads[:1]
silent = [head for head in real_heads if head not in writers] or real_heads[:1]
verdict("17.3, 17.4 and 17.5 look and do not write, the other five write",
        sorted(silent) == [(17, 3), (17, 4), (17, 5)],
        "write: " + ", ".join(map(head_name, writers)), model=real)
agree = all((rows[head_name(head)]["copying, effective"] > 0.5) == (head in writers)
            for head in real_heads)
verdict("the copying score from the effective embedding names the same five", agree, model=real)

# %%
chapter.reveal("who_writes", model=real)

# %% [markdown]
# **On random tokens five copy and three do not.** 17.3 and 17.4 look better than all but 18.6, and push the token
# they find by a few hundredths of a logit at most; so does 17.5. 23.2, no more than a middling looker, pushes it
# most.
#
# See what the two copying scores say. From raw $W_E$ the score is wrong on three of them: 20.6 and 23.2 seem to
# *suppress*, and 23.7 to do neither. One layer further, with the effective embedding, all five writers come out over
# .75 and the three others below .5. A vector of $W_E$ is not what layer 23 reads.
#
# ### Who writes the rest?

# %%
from circuits_course.circuits import direct_scores

queries = slice(1 + REAL_PERIOD, 2 * REAL_PERIOD)
direct = direct_scores(real, real_cache, real_tokens, queries).mean(-1)
strongest = strongest_heads(direct, 1)[0]
target_logit = (real_logits - real_logits.mean(-1, keepdim=True))[:, queries]
target_logit = target_logit.gather(-1, real_tokens.roll(-1, 1)[:, queries, None]).mean()
show_table({"all of it": target_logit, "all heads": direct.sum(),
            "these induction heads": sum(direct[head] for head in real_heads),
            f"{head_name(strongest)}, induction score {real_scores[strongest]:.2f}": direct[strongest]},
           columns=["written by", "logits"], digits=1)
plot_heads(direct, "Direct push on the token that comes next, second copy", unit="logits",
           diverging=True)

# %% [markdown]
# *What to see:* the darkest cell is 29.1, a head of the last layer that does not look at the right token (induction
# score 0.00). What it writes it must have from other heads or MLPs. The eight write directly about a seventh of the
# right token's logit; heads in all about half, MLPs and embedding the rest. A direct effect is only the part that
# goes through nothing else: most of what these heads do goes through later layers.
#
# So what are three heads for that look and do not write? Knock them out and see what the best writer loses.


# %%
star = max(writers, key=lambda head: float(direct[head]))


def best_writer(cache) -> dict[str, Tensor]:
    """Induction score and direct push of the strongest writer in a run."""
    looks = induction_score(cache["pattern", star[0]][:, star[1]], REAL_PERIOD).mean()
    return {"looks": looks, "writes": direct_scores(real, cache, real_tokens, queries)[star].mean()}


# %%
from circuits_course.circuits import cache_without

early = [head for head in writers if head[0] == 18]
chain = {"whole model": best_writer(real_cache)}
for out in (silent, early, silent + early):
    below = [head for head in out if head[0] < star[0]]
    without = cache_without(real, real_tokens, below, "mean", lambda name: name.endswith(kept))
    chain["without " + ", ".join(map(head_name, out))] = best_writer(without)
show_table(chain, caption="The strongest writer, with others removed", digits=2)
verdict("without layers 17's and 18's five, 23.2 hardly finds the place any more",
        list(chain.values())[-1]["looks"] < 0.4 * chain["whole model"]["looks"], model=real)

# %% [markdown]
# The writer of layer 23 leans on the lookers of layers 17 and 18: without them it looks a fraction as sharply. They have told it, or the tokens on the way,
# where to look. So the two-step of section 3 is longer here: a previous-token head (16.0, chapter 03), lookers in 17 and 18, writers in 18 to
# 23, and 29.1 at the end. How exactly 17 informs 23 this chapter leaves open; chapter 07 has the tools to ask.
#
# ### Take them away, with controls
#
# Against each set stand other heads of the same layers, as many from each: 23 sets where so many exist, and all that exist where not.

# %%
from circuits_course.circuits import beats, control_sets

fresh = repeated_tokens(6, 24, real.cfg.d_vocab, bos_token(real), seed=11)
asked = (torch.arange(48) > 24).expand(6, -1)  # the second copy, less its first token
groups = {"all of them": real_heads, "those that look and do not write": silent}
for name, heads in groups.items():
    controls = control_sets(heads, real.cfg.n_heads, fewest=0)
    cost, *others = added_losses(real, fresh, [heads, *controls], where=asked)[:, :, 25:].mean(-1)
    found = beats(cost.mean(), [other.mean() for other in others])
    groups[name] = {"added loss": str(interval(cost)), "most of a control": max([o.mean() for o in others], default=0.0),
                    "beats": str(found), "ok": found.more_than >= 20}
show_table(groups, columns=["added loss", "most of a control", "beats"], digits=2)
verdict("both cost second copies more than every control",
        all(row["ok"] for row in groups.values()), model=real)

# %% [markdown]
# Even the three that write nothing are worth more than a nat. **Direct attribution says who writes, not who is needed.**
#
# ## 9. Claims you may meet
#
# Induction heads are popular, and much is said about them. Here are five sentences that you may meet.
#
# ### "'The cat sat on the mat. The cat' must continue with 'sat'"

# %%
chapter.predict("cat_sat", choices=[" sat", " was", "something else"])

# %%
print(trace_induction(real, "The cat sat on the mat. The cat"))
probs = real(real.to_tokens("The cat sat on the mat. The cat"))[0, -1].softmax(-1)
best = probs.topk(3)
show_table([{"token": repr(real.to_str_tokens(i[None], prepend_bos=False)[0]), "probability": p}
            for p, i in zip(best.values, best.indices, strict=True)], digits=2)

# %%
Walk(walk_induction(real, "The cat sat on the mat. The cat"))

# %% [markdown]
# *What to see:* steps 2 to 4 are as in the small model, with many heads where that one had a single one: the sentence finds
# its ' sat'. Only the last step goes another way. Other heads and the MLPs vote as well, and English prefers ' was'.

# %%
chapter.reveal("cat_sat", model=real)

# %% [markdown]
# This sentence is a weak test. Repeated random tokens leave induction as the only voter. Here is a text in
# which English has no opinion; move the slider to a layer, press the button under a thumbnail, type a text of your own.

# %%
from circuits_course.circuits import read_patterns
from circuits_course.plots import HeadBrowser

invented = "Zorbel Quandry met Flim Tarnok. Later that day Zorbel Quandry and Flim"
HeadBrowser(lambda prompt: read_patterns(real, prompt), invented, start=real_heads[0])

# %% [markdown]
# *What to see:* most heads spend most of their attention on the first token, the column at the left edge. An induction
# head has a short dark diagonal in its lower part, where the names come again.
#
# ### "Induction heads are in layers 3 and 4", "4.3 is one, and 0.5 feeds it"
#
# Both are said about **GPT-2 small**, so they are to be tested there: a head's number means nothing in another model. The
# induction heads below, which stand out on random tokens shown twice, are those that a well-known course names (McDougall,
# ARENA, chapter 1.2, *Intro to Mechanistic Interpretability*); the previous-token heads those of Wang et al. (2022):

# %%
from circuits_course.circuits import PUBLISHED

show_table({role: ", ".join(map(head_name, heads)) for role, heads in PUBLISHED["gpt2-small"].items()},
           columns=["in GPT-2 small", "heads"])
published = [layer / 11 for layer, _ in PUBLISHED["gpt2-small"]["induction"]]
print(f"GPT-2 small, published: depth {min(published):.2f} to {max(published):.2f}")

# %% [markdown]
# None in layers 3 and 4; the layer-4 head of the list, 4.11, is a *previous-token* head. (Wang et al. name 5.5 and 6.9, and
# fuzzily 5.8 and 5.9, as induction heads. That is the list of those at work in one task, chapter 06's, and no inventory.)
#
# ### "They sit about a third of the way up"
#
# GPT-2's sit between .45 and .64 of its depth, SmolLM2's between .59 and .79 (above). Two models make no law, and chapter 09 asks
# more of them. But "a third" is not what these two say.
#
# ### "Induction heads emerge in layer ..."
#
# *Emerge* has two meanings that this sentence mixes up. *Where* in a finished model the heads are is a question of
# layers (this section). *When* they appear in training is a question of steps (section 6): they emerge at a
# phase change, which Olsson et al. (2022) saw in all their models of more than one layer.
#
# ### "Induction heads are in-context learning"
#
# Take the score of section 6 between tokens 10 to 19 and tokens 70 to 79: on random tokens shown twice, on random tokens that never
# repeat, and on English; each in the whole model, and without the induction heads.

# %%
chapter.predict("icl_english", choices=["nearly all of it", "about half", "next to nothing"])

# %%
from circuits_course.circuits import losses_without_each
from circuits_course.data import passage, text_tokens

once = repeated_tokens(8, 80, real.cfg.d_vocab, bos_token(real), seed=3)[:, :81]
english = text_tokens(real, passage("alice"), batch=32, length=81)
about = torch.arange(1, 81)  # the token that each loss is about
asked = (about >= 10) & (about < 20) | (about >= 70) & (about < 80)
icl = {}
for name, text in {"twice": real_tokens, "once": once, "English": english}.items():
    losses = losses_without_each(real, text, [[], real_heads], where=asked.expand(len(text), -1))
    scores = (in_context_learning_score(loss, 10, 70, width=10) for loss in losses)
    icl[name] = dict(zip(["whole model", "without them"], scores, strict=True))
show_table({name: {key: str(interval(value)) for key, value in row.items()} for name, row in icl.items()},
           caption="In-context-learning score (nats), 8 sequences each, 32 of English")

# %%
change = interval(icl["English"]["without them"] - icl["English"]["whole model"])
verdict("on random tokens shown twice they carry most of it",
        icl["twice"]["without them"].mean() > 0.4 * icl["twice"]["whole model"].mean(), model=real)
verdict("on English of this length they carry next to nothing of it",
        abs(change.mean) < 0.1, f"change {change} nats", model=real)

# %% [markdown]
# On repeated random tokens the sentence is nearly right. Not wholly: nearly two nats are gained where **nothing**
# repeats (the model comes to expect nonsense). About as much is left of the score without the eight. On a page of
# English it is wrong for these heads: of the 0.7 nats that SmolLM2 gains from 60 tokens of context it loses .03
# without them.

# %%
chapter.reveal("icl_english", model=real)

# %% [markdown]
# Olsson et al. (2022) argue that induction heads carry the majority of it: about 0.4 nats between tokens 50 and 500,
# most of it formed in the window of the phase change. They have causal evidence for small attention-only models, and
# call the evidence for large ones correlational. Longer texts, and what other heads make up for, this cell does not
# test.

# %%
chapter.explain("what_would_convince")

# %%
chapter.progress()

# %% [markdown]
# ## How sure is this?
#
# Each claim was tested once more, on data that this notebook does not use.

# %%
chapter.how_sure()

# %% [markdown]
# ## What you measured, what the literature says, where to go on
#
# You found induction heads by what they look at and saw what they write: in a small model one head does both; in SmolLM2 three of
# eight look and do not write, and are needed all the same. You cut the head that feeds them, and took them away with controls
# beside them. You saw them appear within a short stretch of training, and in a single layer once its keys knew their predecessors.
#
# - Elhage et al. 2021, *A Mathematical Framework for Transformer Circuits*: where the circuit was found.
# - Olsson et al. 2022, *In-context Learning and Induction Heads* (arXiv 2209.11895): phase change, smeared keys, six
#   arguments, and which of them hold for large models.
# - Wang et al. 2022, *Interpretability in the Wild* (arXiv 2211.00593): induction heads as one class in a larger circuit.
#
# > **The same on GPT-2 small.** Set `CIRCUITS_COURSE_MODEL=gpt2-small` before you start Jupyter and run sections 8 and 9 again. Sentences about
# > SmolLM2's heads are then left to your own table. Is 4.3 among your induction heads, and does 5.1 write what it finds?
#
# **05 Composition** asks how much of the link between your two heads can be read from weights alone, and when such a
# reading misleads. **06 Indirect object identification** finds induction heads at work in a sentence. **09 Open
# questions** takes your detectors to more models.
