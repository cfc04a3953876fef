"""Induction on one prompt in five steps, as plain data: what a picture or a book can play."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head, head_name, last_logits_hooks
from circuits_course.circuits.token_words import word_of
from circuits_course.errors import CourseError

LOOKS = 0.4  # attention from which a lower head counts as one that looks one back here
NEXT_TO_NOTHING = 0.01
FINDS = 0.1  # attention from which a head counts as having found the place
LONGEST = 24  # tokens that a picture has room for
TOP = 3

Step = dict[str, Any]


@torch.no_grad()
def walk_induction(model: Any, prompt: str) -> list[Step]:
    """The five steps of induction at the last token of a prompt, each measured on it.

    Embedding; lower heads look one back; what the key then holds; a higher head looks; the logits.
    The last token must have occurred before; the nearest earlier place counts, and what followed it
    is what induction says. The higher head is the one that attends most to what followed; the lower
    ones give at least 0.4 of their attention to the place before (or the one that gives most), and
    the one without which the higher head looks elsewhere most is named.

    Each step is {"step", "title", "sentence", "tokens", "arrows", "head", "holds", "says", "cut"}:
    arrows are {"from", "to", "head", "attention"} between positions; head the (position, name) that
    works; holds the (position, words) written so far; says the likeliest next tokens with their
    probabilities. "cut" is the same step with the lower heads silent at that place, from step 2 on.
    All values are numbers, strings, lists and dictionaries. Raises CourseError where the last token
    is new, follows itself, or the prompt is too long.
    """
    return _Walk(model, prompt).steps()


class _Walk:
    def __init__(self, model: Any, prompt: str) -> None:
        self.model, self.tokens = model, model.to_tokens(prompt)
        self.words = [str(word) for word in model.to_str_tokens(self.tokens[0])]
        self.last = len(self.words) - 1
        if self.last >= LONGEST:
            raise CourseError(f"A walk has room for {LONGEST} tokens; this prompt has more.")
        places = (self.tokens[0, :-1] == self.tokens[0, -1]).nonzero()
        if len(places) == 0:
            raise CourseError(f"{self.words[-1]!r} does not occur before the end of {prompt!r}.")
        self.earlier = int(places[-1])
        self.key = self.earlier + 1
        if self.key == self.last:
            raise CourseError(f"{self.words[-1]!r} follows itself: nothing stands between to find.")
        logits, patterns = self._run(())
        self.finder = _strongest(patterns[1:, :, self.last, self.key], above=1)
        self.lookers = self._lookers(patterns[: self.finder[0], :, self.key, self.earlier])
        self.whole = logits, patterns
        self.cut = self._run(self.lookers)

    def _lookers(self, attention: Float[Tensor, "layer head"]) -> list[Head]:
        """Heads below the finder that look one back from the key's place, the most needed first."""
        order = attention.flatten().argsort(descending=True).tolist()
        heads = [divmod(index, attention.shape[1]) for index in order]
        found = [head for head in heads if attention[head] >= LOOKS] or heads[:1]
        left = {
            head: float(_row(self._run([head])[1], self.finder, self.last)[self.key])
            for head in found
        }
        return sorted(found, key=lambda head: left[head])

    def _run(
        self, silent: Iterable[Head], tokens: Int[Tensor, "batch pos"] | None = None
    ) -> tuple[Float[Tensor, "batch d_vocab"], Float[Tensor, "layer head q k"]]:
        """Next-token probabilities of every prompt, and all patterns of the first one."""
        tokens = self.tokens if tokens is None else tokens
        kept: dict[int, Tensor] = {}

        def keep(pattern: Tensor, hook: Any) -> None:
            kept[hook.layer()] = pattern.float().cpu()

        def silence(z: Tensor, hook: Any, head: int) -> Tensor:
            z = z.clone()
            z[:, self.key, head] = 0.0
            return z

        hooks: list[tuple[str, Any]] = [
            (f"blocks.{layer}.attn.hook_pattern", keep) for layer in range(self.model.cfg.n_layers)
        ]
        hooks += [(f"blocks.{la}.attn.hook_z", partial(silence, head=head)) for la, head in silent]
        hooks += last_logits_hooks(self.model)
        logits = self.model.run_with_hooks(tokens, fwd_hooks=hooks)
        patterns = torch.stack([kept[layer] for layer in range(self.model.cfg.n_layers)])
        self.looks = patterns[:, :, :, -1]  # [layer, prompt, head, k]
        return logits[:, -1].float().softmax(-1).cpu(), patterns[:, 0]

    def _found_with(self, silent: Iterable[Head]) -> list[tuple[str, float]]:
        """The finder's attention to the key when each token of the prompt stands at the end."""
        asked = self.tokens[0, 1:].unique()
        tokens = self.tokens.repeat(len(asked), 1)
        tokens[:, -1] = asked
        self._run(silent, tokens)
        layer, head = self.finder
        shares = self.looks[layer, :, head, self.key].tolist()
        words = [word_of(self.model, int(token)) for token in asked]
        return sorted(zip(words, shares, strict=True), key=lambda pair: -pair[1])

    # --- the five steps -----------------------------------------------------------------------

    def steps(self) -> list[Step]:
        embedding = self._step(1, "Embedding", self._embed())
        makers = {
            "Lower heads look": self._look_back,
            "What the key holds": self._hold,
            "A higher head looks": self._find,
            "Logits": self._say,
        }
        steps = [{**embedding, "cut": embedding}]
        for number, (title, make) in enumerate(makers.items(), start=2):
            whole, cut = (self._step(number, title, make(silent)) for silent in (False, True))
            steps.append({**whole, "cut": cut})
        return steps

    def _step(self, number: int, title: str, more: Step) -> Step:
        blank = {"tokens": self.words, "arrows": [], "head": None, "holds": [], "says": []}
        return {"step": number, "title": title, **blank, **more}

    def _embed(self) -> Step:
        again, after = repr(self.words[-1]), repr(self.words[self.key])
        return {
            "sentence": "Each lane knows its own token and place, no more. The last token, "
            f"{again}, stood at position {self.earlier} before, and {after} followed. To say so, "
            "somebody has to look."
        }

    def _look_back(self, cut: bool) -> Step:
        head = self.lookers[0]
        share = float(_row(self.whole[1], head, self.key)[self.earlier])
        before, here = repr(self.words[self.earlier]), repr(self.words[self.key])
        more, name = len(self.lookers) - 1, head_name(head)
        said = f"At {here}, head {name} looks one back, at {before} ({share:.2f})."
        if more:
            rest = "does 1 other head" if more == 1 else f"do {more} other heads"
            said += f" So {rest} below layer {self.finder[0]}."
        if cut:
            said += f" {'All are' if more else 'It is'} silenced at this place: nothing is written."
            return {"sentence": said, "arrows": [], "head": [self.key, name]}
        said += f" What {'they find they write' if more else 'it finds it writes'} into this lane."
        arrows = [_arrow(self.earlier, self.key, head, share)]
        return {"sentence": said, "arrows": arrows, "head": [self.key, name]}

    def _hold(self, cut: bool) -> Step:
        (best, share), *rest = self._found_with(self.lookers if cut else ())
        here, name = repr(self.words[self.key]), head_name(self.finder)
        if share < NEXT_TO_NOTHING:
            sentence = (
                f"Whatever token of the prompt stands at the end, head {name} gives {here} less"
            )
            return {"sentence": f"{sentence} than {NEXT_TO_NOTHING}: its key says nothing."}
        sentence = (
            f"Put each token of the prompt at the end: head {name} looks at {here} most when "
        )
        sentence += f"it is {best!r} ({share:.2f}"
        sentence += f"; with {rest[0][0]!r}, {rest[0][1]:.2f})." if rest else ")."
        if share < FINDS or best != self.words[-1]:
            return {"sentence": sentence}
        words = f"after {best.strip() or repr(best)}"
        sentence += f" So the key of {here} says that {best!r} stood before."
        return {"sentence": sentence, "holds": [[self.key, words]]}

    def _find(self, cut: bool) -> Step:
        _, patterns = self.cut if cut else self.whole
        row = _row(patterns, self.finder, self.last)
        share, place = float(row[self.key]), int(row.argmax())
        here, name = repr(self.words[self.key]), head_name(self.finder)
        if cut:
            before = float(_row(self.whole[1], self.finder, self.last)[self.key])
            sentence = (
                f"Head {name} now gives {here} {share:.2f} of its attention; it was {before:.2f}."
            )
        elif share >= FINDS:
            sentence = (
                f"At the last {self.words[-1]!r}, head {name} gives {here} {share:.2f} of its "
            )
            sentence += "attention and moves it here."
        else:
            sentence = (
                f"No head finds {here}: the one that looks most, {name}, gives it {share:.2f}."
            )
        if place != self.key:
            sentence += f" Most goes to {self.words[place]!r} at {place} ({float(row[place]):.2f})."
        return {
            "sentence": sentence,
            "arrows": [_arrow(self.key, self.last, self.finder, share)],
            "head": [self.last, name],
        }

    def _say(self, cut: bool) -> Step:
        probabilities, _ = self.cut if cut else self.whole
        top = probabilities[0].topk(TOP)
        says = [
            [word_of(self.model, token), round(p, 4)]
            for p, token in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        ]
        token = int(self.tokens[0, self.key])
        share = float(probabilities[0, token])
        rank = int((probabilities[0] > share).sum()) + 1
        after = repr(self.words[self.key])
        if rank == 1:
            sentence = f"The model says {after} ({share:.2f}): what followed before."
        else:
            sentence = f"The model says {says[0][0]!r} ({says[0][1]:.2f}). Induction says {after}: "
            sentence += f"it comes at place {rank} ({share:.2g})."
        if cut:
            before = float(self.whole[0][0, token])
            sentence += f" Before the cut {after} had {before:.2f}."
        return {"sentence": sentence, "says": says}


def _arrow(source: int, target: int, head: Head, share: float) -> dict[str, Any]:
    return {"from": source, "to": target, "head": head_name(head), "attention": round(share, 4)}


def _row(patterns: Float[Tensor, "layer head q k"], head: Head, query: int) -> Float[Tensor, " k"]:
    layer, index = head
    return patterns[layer, index, query]


def _strongest(attention: Float[Tensor, "layer head"], above: int) -> Head:
    layer, head = divmod(int(attention.argmax()), attention.shape[1])
    return layer + above, head
