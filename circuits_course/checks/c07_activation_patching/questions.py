"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "what_ablation_asks",
    "From chapter 04: you put zeros in place of a head's output and the loss rises. What do you "
    "know?",
    {
        "that the head's information about this prompt was needed": "Perhaps. But zeros also took "
        "away what the head says on every prompt alike, and later layers may rely on that.",
        "that something which the head adds was needed": "Something: what it says about this "
        "prompt, or what it always says. Mean ablation tells the two apart, and patching asks "
        "only about the difference between two prompts.",
        "what the head does": "An ablation says that a part matters. What it does takes other "
        "experiments, such as which prompt changes it.",
    },
    answer="that something which the head adds was needed",
)

questions.quiz(
    "what_a_path_is",
    "From chapter 05: a previous-token head feeds an induction head. Through what?",
    {
        "the induction head's keys": "It writes, at each position, what stood one before; the "
        "induction head's keys read it.",
        "the induction head's values": "The values carry the token that is copied, and the "
        "embedding holds it already.",
        "the logits": "It changes the logits by way of another head, and hardly itself. That is "
        "why one path can matter where the direct one does not.",
    },
    answer="the induction head's keys",
)

questions.quiz(
    "why_logit_difference",
    "From chapter 06: the prompts ask for the indirect object (IO) and not for the subject (S). "
    "What does the logit of IO minus the logit of S leave out?",
    {
        "whether the model knows that a name comes next": "What raises both names alike cancels. "
        "That is wanted: the question is which of the two.",
        "how the model tells the two apart": "This is what is left: whatever treats the two names "
        "differently.",
        "nothing": "It leaves out all that raises both names alike, such as knowing that a name "
        "comes next.",
    },
    answer="whether the model knows that a name comes next",
)

questions.prediction(
    "where_is_it",
    "Between the two layers of the small model, at which position does the clean residual "
    "stream bring the answer back?",
    {
        "at the first q, where the prompts differ": "There it *enters*. By the second layer "
        "it has left.",
        "at the x after it": "A previous-token head has moved it one to the right, as "
        "chapter 04 said.",
        "at the last q, where the answer is read": "There it *ends*, one layer later.",
    },
    answer="at the x after it",
)

questions.prediction(
    "gates_denoising",
    "An AND gate reads two bits, each moved by its own head. Clean 11, corrupted 00. You put "
    "back *one* head's clean output. What does the gate say?",
    {
        "1: the head is restored": "An AND needs both. With one bit restored and the other 0 the "
        "answer stays 0.",
        "0: nothing changes": "Each head alone restores nothing, although the gate could not do "
        "without either.",
        "half of each": "A gate has no half. In real models many effects are graded, yet the "
        "threshold is what hides these heads.",
    },
    answer="0: nothing changes",
)

questions.prediction(
    "when_does_it_move",
    "The two prompts differ at the second mention of the subject alone, early in the second "
    "half. In which part of the real model does this information arrive at the last "
    "position?",
    {
        "in the first third of the layers": "There the name is *known*, at S2. It waits there.",
        "in the second third": "It is still at S2: that column holds everything into layer 20.",
        "in the last third": "In a short part of it: END has more than half from layer 24 on "
        "(from 21 to 24 on other templates).",
    },
    answer="in the last third",
)

questions.prediction(
    "negative_heads",
    "Some heads lower the logit difference. Which metric shows them clearly when you patch "
    "them into the corrupted run?",
    {
        "the logit difference": "It shows -.25 and -.14 for the two strongest.",
        "the probability of the right answer": "It is .009 in the corrupted run, so that "
        "there is next to nothing to lose.",
        "both alike": "That holds for heads that help.",
    },
    answer="the logit difference",
)

questions.prediction(
    "estimate_of_previous",
    "The previous-token head of the small model restores most of the answer when it is "
    "patched. What does the estimate from one gradient say of it?",
    {
        "about the same": "So it would be if the metric were a straight line from one output "
        "to the other.",
        "half of it": "So it would be if the line bent evenly.",
        "next to nothing": "0.00, for a head without which nothing works: the gradient is "
        "taken where the softmax is flat.",
    },
    answer="next to nothing",
)

questions.prediction(
    "after_the_knock_out",
    "The head with the strongest direct effect adds a certain amount to the logit "
    "difference. You replace it by its mean. By how much does the logit difference fall?",
    {
        "by that amount": "Then the rest of the model would take no notice.",
        "by less": "By a tenth less on these prompts. On six other templates it falls by a third "
        "*more* in the mean, with an interval that spans 0: what others make up and what they lose "
        "nearly cancel.",
        "by more": "So it is on other templates in the mean: what others lose outweighs what they "
        "make up.",
    },
    answer="by less",
)

questions.explanation(
    "and_or",
    "Which direction of patching finds the inputs of an OR gate, and why does the other one miss "
    "them?",
    "Denoising: one clean input is enough to bring the answer back. Noising one of them changes "
    "nothing, since the other still says 1.",
)

questions.explanation(
    "false_negative",
    "Why can a head that restores the whole answer have a gradient of nearly zero?",
    "The gradient asks what a tiny step does. Where a later softmax is saturated a tiny step moves "
    "nothing, although the whole step moves the attention to another token.",
)

questions.explanation(
    "which_experiment",
    "A paper says: 'we zero-ablated head h and nothing happened, so it does not matter'. Name two "
    "reasons to doubt it.",
    "Another head may say the same (an OR gate) or take over (self-repair), and the metric may not "
    "see the change; noising with a well-chosen prompt, in both directions, would test it.",
)
