"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "what_induction_needs",
    "From chapter 04: an induction head at the second `q` of `q x b q` attends to ...",
    {
        "the first q": "That is what a duplicate-token head does. You meet some below.",
        "the first x": "The token after the earlier copy. It finds it by what the key says about "
        "the token before.",
        "BOS": "It rests there when it finds nothing.",
    },
    answer="the first x",
)

questions.quiz(
    "which_composition",
    "From chapter 05: head A changes what head B *asks for*, and so where B looks. That is ...",
    {
        "Q-composition": "A's write becomes part of B's query.",
        "K-composition": "Then A would change what a position answers to, not what B asks for.",
        "V-composition": "Then B would look where it always does and move something else.",
    },
    answer="Q-composition",
)

questions.quiz(
    "zero_or_mean_again",
    "From chapter 04: what does mean ablation leave that zero ablation takes away?",
    {
        "what the head says about this prompt": "That is what both take away.",
        "what the head says on every prompt": "A constant that later layers may rely on.",
        "nothing": "The mean of a head's output is rarely zero.",
    },
    answer="what the head says on every prompt",
)

questions.prediction(
    "late_or_early",
    "The names are read early in the prompt. In which layers are the parts that add most to "
    "the logit difference?",
    {
        "in the first third": "Names are read there. But early layers write for later layers "
        "to read, and direct attribution sees only what the unembedding reads.",
        "in the middle": "Close to where the *work* is done, as you will see. Nothing of it "
        "reaches the logits directly.",
        "in the last third": "One large step up at layer 23 and one down at 24: there the "
        "answer is *said*.",
    },
    answer="in the last third",
)

questions.prediction(
    "largest_head_looks",
    "One head adds more to the logit difference than any other. From END, which name does it "
    "look at most?",
    {
        "the IO, whose name it copies": "That is the story of GPT-2 small. Heads that look "
        "at the IO are here too, and none of them is the largest.",
        "the subject": "23.3 looks at the subject, at S2.",
        "neither": "Two other heads, 29.1 and 29.0, look at END itself.",
    },
    answer="the subject",
)

questions.prediction(
    "negative_movers_look",
    "Some heads *lower* the logit difference. A common account: they write against the subject's "
    "name. If that were so, what would they do to the logit difference?",
    {
        "lower it": "Writing against the subject lowers the subject's logit, which is subtracted.",
        "raise it": "Less for the subject is more for the difference. So heads that lower it must "
        "do something else.",
    },
    answer="raise it",
)

questions.prediction(
    "knock_out_movers",
    "You knock out all name movers at once. How much of the logit difference is left?",
    {
        "nearly all": "The movers and the negative mover, which writes against what they "
        "write, fall silent together.",
        "about half": "It would be less than all if the negative mover kept writing; it "
        "falls silent with them.",
        "next to nothing": "So it would be if the movers were the only road to the answer.",
    },
    answer="nearly all",
)

questions.prediction(
    "how_many_heads",
    "How many of the model's heads does it take to keep at least half of the logit difference?",
    {
        "a tenth or fewer": "26 of 270, a tenth of them, keep three quarters of it, so half of it "
        "takes no more.",
        "about a third": "26 of 270 are enough: the other heads do other things.",
        "more than half": "26 of 270 are enough: the other heads do other things.",
    },
    answer="a tenth or fewer",
)

questions.prediction(
    "position_or_token",
    "S-inhibition heads tell the name movers which name to leave alone. What do they say of "
    "it: which *name* it is, or at which *place* it stood, first or second?",
    {
        "the name": "Then they would have to carry one of a hundred names. One bit, first or "
        "second, is enough.",
        "the place": "It moves the logit difference by more than two logits to either side, "
        "the name hardly at all.",
        "both alike": "Wang et al. found both in GPT-2 small, 2.31 for position and .99 for "
        "token. In SmolLM2 the name takes another road.",
    },
    answer="the place",
)

questions.prediction(
    "adversarial",
    "Now the IO is said twice as well, so being said twice no longer tells the names apart. "
    "What becomes of the logit difference?",
    {
        "it stays": "A model that had understood the sentence would not care. This one loses "
        "one to two logits.",
        "it falls": "By one to two logits on these templates, against a sentence of the "
        "same length, and it stays positive.",
        "it turns negative": "So it would if the repetition were all that the model had. But "
        "23.3 goes on: the name said *last* is still the subject's.",
    },
    answer="it falls",
)

questions.explanation(
    "attention_and_effect",
    "A head attends strongly to the IO. Why does that not tell you whether it helps?",
    "Looking is half of a head; what it writes is the other half: it may write for the name, "
    "against it, or about something else, which copy score and direct attribution tell apart.",
)

questions.explanation(
    "why_three_criteria",
    "Why does a circuit that passes faithfulness still need completeness?",
    "It may lack a backup: both score alike as long as the main heads are there, and differ once "
    "these are removed from circuit and model.",
)
