# %% [markdown]
# # 00 Start here
#
# **You will be able to** run a language model, look inside it, change one thing in it while it
# runs, and have every answer of this course checked.
#
# **Time** 30 to 45 minutes. **You need** Python and an idea of what a matrix product is.
# **Model** `induction-2l`, a transformer of two layers that comes with the course.
#
# Later chapters add a real language model, the same on every machine: **SmolLM2-135M-Instruct**, from
# weights that were stored in four bits (Q4_1) and turned back into 32. What it reads begins with its
# own sign for the beginning of a sequence, `<|im_start|>`. Numbers of heads and measurements in this
# course are those of this model, so read; its sister that was not trained for chat may differ.
#
# The course asks one question again and again: *this model does something; which parts of it do
# it, and how do we know?* This chapter gives you the tools to ask it.

# %% [markdown]
# ## Is this machine ready?
#
# The next cell checks it. A line with ✘ says what to do.

# %%
import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model, show_table, verdict
from circuits_course.circuits import interval
from circuits_course.data import repeats_for
from circuits_course.models.health import doctor
from circuits_course.plots import draw, plot_attention, plot_heads

chapter = Chapter("00_start_here")

# %%
findings = doctor()
show_table([(f.name, "✔" if f.ok else f"✘ {f.advice}") for f in findings], ["what", "ready"])
verdict("you are ready", all(finding.ok for finding in findings))

# %% [markdown]
# ## Tensors with named axes
#
# A transformer moves numbers around in boxes of three, four or five axes. Most mistakes are mistakes
# of axes, so we name them.
#
# A **head** is one of several independent workers inside an attention layer. Each handles a short
# vector of `d_head` numbers. A layer with four heads of 16 numbers keeps them end to end in one
# vector of 64.

# %%
chapter.predict("heads_in_a_vector", choices=["1, 3, 5", "3, 4, 5", "0, 1, 2"])

# %% [markdown]
# `rearrange` from einops takes the axes by name. Parentheses mean "these two are one axis", the
# left one changing slowest:

# %%
vector = torch.arange(6)
print("all heads, end to end:", vector.tolist())
print("one row for each head:", rearrange(vector, "(head d_head) -> head d_head", head=2).tolist())

# %%
chapter.reveal("heads_in_a_vector")

# %% [markdown]
# ### Cut a vector into heads
#
# Now the same for a batch of sequences: `x` has the axes `[batch, pos, n_heads * d_head]`. *Batch*
# counts the sequences, *pos* the positions in each.
#
# Answers are written with their shapes: `Float[Tensor, "batch pos d_model"]` reads "a tensor of
# decimal numbers with the axes batch, pos and d_model", `Int[Tensor, "batch pos"]` one of whole
# numbers. They are notes for the reader: Python runs the same without them.

# %% exercise="split_heads"

# %% [markdown]
# The last line of that cell is how every exercise is checked. Run the cell with nothing filled in and
# the check says so; the notebook goes on with the reference answer. Write something wrong and
# it tells you what differs. If you are stuck:
#
# - `chapter.hint("split_heads")` gives one hint; call it again for the next.
# - `chapter.solution("split_heads")` shows an answer. The exercise then counts as *seen*.
# - `chapter.progress()` shows where you stand. It is kept when you close the notebook.

# %%
chapter.hint("split_heads")

# %% [markdown]
# ### Every position times every head's matrix
#
# The other half of the work is multiplying. `einsum` takes a pattern: the axes of each input, then
# those of the result. **An axis that is missing on the right is summed over.**

# %%
x = torch.tensor([1.0, 10.0])
W = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
rows = {"x @ W": ("i, i j -> j", einsum(x, W, "i, i j -> j").tolist()),
        "sum of all W": ("i j ->", einsum(W, "i j ->").item()),
        "row sums of W": ("i j -> i", einsum(W, "i j -> i").tolist())}
show_table(rows, ["pattern", "result"])

# %% [markdown]
# Each head of a layer has its own matrix. Multiply all positions by all of them in one call.

# %% exercise="project_heads"

# %% [markdown]
# ## Look inside: the cache
#
# `induction-2l` reads sequences of symbols. A symbol with its number is a **token**. Token 0 marks the
# beginning of a sequence and is called BOS. Each token is looked up in a table of vectors: its
# **embedding**, a vector of `d_model` numbers that the model works on from then on. At the end stand
# the **logits**, one number for each possible next token: the higher, the likelier. A softmax makes
# probabilities of them. We give the model a random sequence, twice.

# %%
model = load_model("induction-2l")
tokens = model.to_tokens("qxbmztqxbmzt")
labels = model.to_str_tokens(tokens[0])
print(labels)

# %%
said = model(model.to_tokens("qxbmzq"))[0, -1].softmax(-1).topk(3)
draw("text_to_guess", tokens=model.to_str_tokens("qxbmzq"), ids=model.to_tokens("qxbmzq")[0].tolist(),
     guesses=dict(zip(model.to_str_tokens(said.indices, prepend_bos=False), said.values.tolist())))

# %% [markdown]
# *What to see:* read it from below. Each token, with its number, becomes one vector, and above the
# *last* token stand the model's guesses at the next one with their probabilities.
#
# Between vectors and guesses nothing is replaced. The vector of a token travels up a lane of its own,
# its **residual stream**, and each head of each layer adds something to it.

# %%
draw("residual_stream", token="q", layers=model.cfg.n_layers, heads=model.cfg.n_heads)

# %% [markdown]
# *What to see:* heads read (blue) copies of this token's lane and of those before it; what they write
# (orange, the plus) is added to this one lane alone. The logits are read off at the top.
#
# `run_with_cache` runs the model and keeps everything it computed on the way. The cache is read by
# name and layer. The most useful entry is the **attention pattern**: for each head, a square of
# numbers in which row `q`, column `k` says how much position `q` looks at position `k`. The one who
# looks is called the *query*, the one looked at the *key*.

# %% tags=["nbval-check-output"]
logits, cache = model.run_with_cache(tokens)
names = ["embed", ("q", 0), ("pattern", 0), ("z", 0), ("resid_post", 1)]
rows = [(str(name), str(list(cache[name].shape))) for name in names]
show_table([*rows, ("logits", str(list(logits.shape)))], ["what", "shape"])

# %%
chapter.predict("rows_sum", choices=["every row", "every column", "the whole matrix"])

# %% exercise="read_pattern"

# %% [markdown]
# Your function, used on every head of the second layer:

# %%
patterns = torch.stack([read_pattern(model, tokens, 1, head)[0] for head in range(4)])
plot_attention(labels, patterns, "Attention of layer 1 on a repeated sequence")

# %% [markdown]
# *What to see:* in the first half, most heads rest on the first position. In the second half, one
# head wakes up: it looks back at one place in the first half, a step further to the right with each
# query. Which place that is, and why there, is the subject of chapter 04.

# %%
chapter.reveal("rows_sum")

# %% [markdown]
# ## Change it: a hook
#
# Looking tells what a model computed. It does not tell what *mattered*. For that we change one
# thing while the model runs, and see what becomes of the result.
#
# A **hook** is a function that TransformerLens calls with an activation in the middle of a run. What
# the hook returns takes the activation's place.

# %%
draw("cache_and_hook")

# %% [markdown]
# *What to see:* left, the cache keeps a copy and the run goes on as ever. Right, your function stands
# *in* the lane, and all that is computed above it is computed from what it gave back.
#
# So here is a function that doubles the embeddings:


# %%
def double(embedding, hook):
    return 2 * embedding


changed = model.run_with_hooks(tokens, fwd_hooks=[("hook_embed", double)])
show_table({"largest change of a logit": (changed - logits).abs().max()}, ["", "size"])

# %% [markdown]
# ### Silence one head
#
# `z` is what each head has gathered, `[batch, pos, head, d_head]`, before its output matrix writes it
# back. Set one head's part to zero, let the rest run on, and return the logits.

# %% exercise="zero_head"

# %% [markdown]
# Now an experiment. The model predicts the second copy of a repeated sequence well. We silence each
# head in turn, and measure the loss on the second copy: the mean of $-\log p$ of the token that
# really comes next, in nats. Zero is perfect; guessing among 63 symbols costs $\ln 63 = 4.14$.
#
# One sequence of six symbols would give five predictions: too few to tell a head from luck. We
# take 64 sequences of twenty random symbols each, twice. (A symbol may come up twice among the twenty;
# what follows it is then anybody's guess, so even a perfect copier does not reach zero.)

# %%
chapter.predict(
    "silent_head",
    choices=[
        "it gets worse, whichever head it is",
        "it depends on the head",
        "nothing much, for any head",
    ],
)


# %%
many = repeats_for(model, period=20, batch=64, seed=0)


def second_copy_loss(logits: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, " batch"]:
    """Mean loss of each sequence on the tokens of its second copy, first one excepted."""
    log_probs = logits.log_softmax(-1)[:, 21:-1]
    return -log_probs.gather(-1, many[:, 22:, None]).mean((1, 2))


with torch.no_grad():
    baseline = second_copy_loss(model(many))
    heads = [(layer, head) for layer in range(2) for head in range(4)]
    costs = {head: second_copy_loss(zero_head(model, many, *head)) - baseline for head in heads}
plot_heads(torch.stack([cost.mean() for cost in costs.values()]).view(2, 4),
           "What silencing each head costs", unit="added loss, nats")

# %% [markdown]
# *What to see:* each cell is a head; the darker, the more its silence costs. Two stand out. How sure is that?
# `interval` gives the mean over the 64 sequences and, in brackets, a range made so that it contains the true mean 95
# times in 100.

# %%
rows = {f"head {layer}.{head}": str(interval(cost)) for (layer, head), cost in costs.items()}
show_table({"none: the loss itself": str(interval(baseline)), **rows},
           ["silenced", "added loss, nats"])

# %%
chapter.reveal("silent_head")

# %% [markdown]
# This was your first causal experiment: you did not ask which head *looks* important, you took it
# away and measured.
#
# ### In your own words

# %%
chapter.explain("cache_or_hook")

# %% [markdown]
# ## How sure is this?
#
# Each chapter ends with its claims, tested again on data that the chapter does not use.

# %%
chapter.how_sure()

# %%
chapter.progress()

# %% [markdown]
# ## Where to go on
#
# - **01 Attention math** takes one head apart into the few matrix products it consists of.
# - **04 Induction heads** asks how this model predicts a sequence it has never seen.
#
# TransformerLens, the library behind `run_with_cache` and hooks, has a list of all hook names in its
# documentation; you have met `hook_embed`, `attn.hook_z` and `attn.hook_pattern`.
