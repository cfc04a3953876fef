"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "mean_or_zero",
    "Zero-ablating a head costs 0.6 nats, mean-ablating it 0.01. What does it tell you?",
    {
        "the head says the same on every prompt, and later parts rely on it": "The mean keeps what "
        "is constant: only what varies between prompts is lost.",
        "the head is important for this task": "Then replacing what it says about this prompt by "
        "the mean would cost as much.",
        "one of the two measurements is broken": "Both are right; they ask different questions.",
    },
    "the head says the same on every prompt, and later parts rely on it",
)

questions.quiz(
    "path_patching_holds_still",
    "You path-patch from head 0.1 to the keys of head 1.2. What changes in the final run?",
    {
        "only what 1.2 reads as keys": "All other readers of 0.1 hear the clean prompt.",
        "everything that reads head 0.1": "That would be activation patching.",
        "the attention pattern of 0.1": "The sender's output is replaced, and only for one reader.",
    },
    "only what 1.2 reads as keys",
)

questions.quiz(
    "weights_are_not_effects",
    "A pair of heads has the highest K-composition score of the model. Which conclusion is safe?",
    {
        "what one writes fits what the keys of the other read": "That is what the score measures, "
        "and all it measures.",
        "cutting the path will change the predictions": "Chapter 05 showed pairs where nothing "
        "happens.",
        "the second head is an induction head": "Many kinds of heads compose through keys.",
    },
    "what one writes fits what the keys of the other read",
)

questions.prediction(
    "look_alikes",
    "Several heads of agate attend to the same place. How many of them will matter when "
    "ablated one at a time?",
    {
        "all of them": "That trusts the attention. The look-alikes attend and write, and "
        "nobody reads what they write.",
        "about half": "One costs 1.5 nats, the size of the whole effect; the other five are at 0.",
        "one": "It costs 1.5 nats, the size of the whole effect; the other five are at 0.",
    },
    answer="one",
)

questions.prediction(
    "backup_alone",
    "A head has a backup. You ablate heads one at a time, by their means. What do you see at the"
    " two?",
    {
        "both matter": "Each is covered by the other, or was silent in the first place.",
        "only the first one matters": "It would, if nobody stood in for it.",
        "neither matters": "The first is covered by its backup, and the backup had nothing to do.",
    },
    "neither matters",
)

questions.prediction(
    "all_heads_claim",
    "You claim every head of the model as the circuit. Which mark do you lose?",
    {
        "faithfulness": "Nothing is outside, so nothing is ablated: it is perfect.",
        "completeness": "Nothing is outside that could step in.",
        "minimality": "Most of these heads can go without anyone noticing.",
    },
    "minimality",
)

questions.explanation(
    "why_three_tests",
    "Why are faithfulness, completeness and minimality three tests? Name a wrong circuit that "
    "passes two of them.",
    "All heads together are faithful and complete but not minimal; a circuit without its backup is "
    "faithful and minimal but not complete; half of a circuit is minimal and not faithful.",
)

questions.explanation(
    "what_the_grade_cannot_see",
    "A claim has full marks on these inputs. What could still be wrong with it?",
    "Other inputs may use other heads, the names of roles and algorithm are ours, and two circuits "
    "may behave alike under every intervention we tried.",
)
