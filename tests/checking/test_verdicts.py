"""The checker engine: outcomes, messages and diagnoses on exercises made for the purpose."""

from __future__ import annotations

import functools

import pytest
import torch

from circuits_course.checking.declaring import Case
from circuits_course.checking.exercise import Exercise
from circuits_course.checking.outcome import Outcome
from circuits_course.checks.inputs import random_model, random_tokens


@pytest.fixture
def row_means():
    """Exercise: the mean of each row of x [rows, columns], at least `least`."""
    exercise = Exercise("row_means", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @exercise.cases
    def cases():
        yield Case("rows of 1, 2, 3", torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]))
        yield Case("random rows", torch.rand(3, 5, generator=torch.Generator().manual_seed(0)))

    @exercise.oracle
    def oracle(x):
        return torch.stack([row.sum() / len(row) for row in x])

    @exercise.wrong("you averaged over rows.")
    def column_means(x):
        return x.mean(0)

    @exercise.wrong("you summed.")
    def sums(x):
        return x.sum(1)

    return exercise


def check(exercise, function):
    return exercise.check(function)


def test_right_answer_says_how_much_was_tried(row_means):
    result = row_means.check(lambda x: x.mean(1))
    assert result.outcome is Outcome.PASSED
    assert result.text == "✔ Passed: 2 cases, x of shape [3, 5] and others."


@pytest.mark.parametrize(
    "right",
    [
        lambda x: x.double().mean(-1),
        lambda data: torch.einsum("rc->r", data) / data.shape[1],
        functools.partial(torch.mean, dim=1),
        lambda x, dim=1: x.mean(dim),
        lambda *args: args[0].mean(1),
        lambda x: x.clone().requires_grad_().mean(1),
    ],
)
def test_right_answers_in_other_styles(row_means, right):
    assert row_means.check(right).passed


def test_wrong_answer_on_file_is_recognised_in_other_words(row_means):
    result = row_means.check(lambda x: torch.einsum("rc->r", x))
    assert result.outcome is Outcome.WRONG
    assert result.diagnosis == "sums"
    assert result.message == (
        "Wrong. On rows of 1, 2, 3: expected 2.00, got 6.00 at index [0] (2 of 2 entries differ). "
        "Likely: you summed."
    )


def test_a_function_among_the_inputs_goes_by_its_name():
    exercise = Exercise("applied", difficulty=1, importance=1, minutes=1, hints=[])
    exercise.cases(lambda: [Case("the lengths of lists", len, [[1, 2], [3]])])
    exercise.oracle(lambda function, values: [function(value) for value in values])
    assert "on function len, values [[1, 2], [3]]" in exercise.check(lambda f, v: 3).message


def test_wrong_shape_is_named_and_still_diagnosed(row_means):
    result = row_means.check(lambda x: x.mean(0))
    assert result.message.startswith("Wrong shape: expected [2], got [3] on x of shape [2, 3].")
    assert result.diagnosis == "column_means"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: None, "Did you forget return?"),
        (lambda x: x.mean(1).tolist(), "Wrong type: expected a torch tensor, got a list"),
        (lambda x: x.mean(1).numpy(), "torch.as_tensor"),
        (lambda x: x.mean(1).long(), "Wrong dtype: expected a floating-point dtype, got int64"),
        (lambda x: x.mean(1).to("meta"), "Wrong device: expected a tensor on cpu"),
        (lambda x: x.mean(1) * float("nan"), "your result is NaN at index [0]"),
        (lambda x: x.mean(1, keepdim=True), "axis 1, of length 1, is too many"),
        (lambda x: x.mean(), "the mean of all that is expected: keep the axes"),
        (lambda x: -x.mean(1), "its sign turned"),
        (lambda x: 1 / x.mean(1), "expected 2.00, got 0.50"),
        (lambda: 3, "Wrong signature: it is called as row_means(x); yours takes ()."),
        (lambda x, y: 3, "yours takes (x, y)"),
        (7, "takes the function itself"),
    ],
)
def test_every_fault_has_its_words(row_means, answer, words):
    result = row_means.check(answer)
    assert result.outcome is Outcome.WRONG
    assert words in result.message


def test_an_answer_right_on_the_first_case_only_is_wrong(row_means):
    result = row_means.check(lambda x: torch.full((len(x),), 2.0))
    assert result.outcome is Outcome.WRONG
    assert "On random rows" in result.message


def test_an_answer_that_keeps_something_from_call_to_call_is_wrong(row_means):
    calls = []

    def remembers(x):
        calls.append(x)
        return x.mean(1) if len(calls) < 3 else calls[1].mean(1)

    result = row_means.check(remembers)
    assert result.outcome is Outcome.WRONG
    assert "Called again on rows of 1, 2, 3" in result.message
    assert "keeps something from one call to the next" in result.message


def test_changing_the_input_is_named(row_means):
    def in_place(x):
        x /= x.shape[1]
        return x.sum(1)

    result = row_means.check(in_place)
    assert result.outcome is Outcome.WRONG
    assert "changed its input x in place" in result.message
    assert row_means.check(lambda x: x.mean(1)).passed  # the cases are unharmed


# --- not attempted ----------------------------------------------------------------------------


def raises_stub(x):
    """A docstring."""
    raise NotImplementedError


def raises_stub_with_text(x):
    raise NotImplementedError("write me")


def passes(x):
    pass


def dots(x): ...


def blank(x):
    mean = ...
    return mean


def blank_statement(x):
    total = x.sum(1)
    ...
    return total / 7


def blank_that_crashes(x):
    width = ...
    return x.sum(1) / width


def begun(x):
    x = x.sum(1)
    raise NotImplementedError


@pytest.mark.parametrize(
    "stub",
    [raises_stub, raises_stub_with_text, passes, dots, blank, blank_statement, blank_that_crashes],
)
def test_a_stub_is_not_attempted(row_means, stub):
    result = row_means.check(stub)
    assert result.outcome is Outcome.NOT_ATTEMPTED
    assert result.text.startswith("○ Not attempted yet.")
    assert "Traceback" not in result.text


def test_what_is_left_of_the_stub_is_named(row_means):
    assert "a `...` to fill, in line 2" in row_means.check(blank).message
    assert "delete that line" in row_means.check(begun).message


def test_a_right_answer_may_leave_a_blank_behind(row_means):
    def finished(x):
        ...
        return x.mean(1)

    assert row_means.check(finished).passed


def test_not_implemented_inside_a_library_is_a_crash(row_means):
    def library(x):
        return torch.nn.Module()(x)

    assert row_means.check(library).outcome is Outcome.CRASHED


# --- crashes ----------------------------------------------------------------------------------


def crashes(x):
    width = x.shape[5]
    return x.sum(1) / width


def test_a_crash_says_where_on_what_and_shows_own_lines_only(row_means):
    result = row_means.check(crashes)
    assert result.outcome is Outcome.CRASHED
    first, *trace = result.text.splitlines()
    assert first.startswith("✘ Your function raised IndexError: tuple index out of range on x")
    assert "of shape [2, 3]." in first
    assert len(trace) == 1
    assert "in crashes, line" in trace[0]
    assert trace[0].endswith("width = x.shape[5]")


def exits(x):
    raise SystemExit(3)


def interrupted(x):
    raise KeyboardInterrupt


def recurses(x):
    return recurses(x)


def test_leaving_interrupting_and_recursing_are_caught(row_means):
    assert row_means.check(exits).outcome is Outcome.CRASHED
    assert "RecursionError" in row_means.check(recurses).message
    stopped = row_means.check(interrupted)
    assert stopped.outcome is Outcome.CRASHED
    assert stopped.message.startswith("You stopped your function on x of shape [2, 3].")


# --- properties, observation, other containers ------------------------------------------------


@pytest.fixture
def even_number():
    exercise = Exercise("even_number", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @exercise.cases
    def cases():
        yield Case("least 3", 3)
        yield Case("least 10", 10)

    @exercise.prop
    def large_enough(number, least):
        return None if number >= least else f"{number} is under {least}"

    @exercise.prop
    def even(number, least):
        return f"{number} is odd" if number % 2 else None

    @exercise.wrong("least itself may be odd.")
    def least_itself(least):
        return least if least % 2 else least + 1

    return exercise


def test_properties_accept_every_output_that_has_them(even_number):
    assert even_number.check(lambda least: 2 * least).passed
    assert even_number.check(lambda least: least + least % 2 + 100).passed


def test_a_broken_property_speaks(even_number):
    result = even_number.check(lambda least: 2)
    assert "2 is under 3" in result.message
    assert "On least 3" in result.message


def test_a_broken_property_finds_the_diagnosis(even_number):
    assert even_number.check(lambda least: 2 * least + 1).diagnosis == "least_itself"


def test_an_output_that_a_property_cannot_use_is_wrong_not_an_error(even_number):
    result = even_number.check(lambda least: "four")
    assert result.outcome is Outcome.WRONG
    assert "could not be used" in result.message


@pytest.fixture
def found_heads():
    exercise = Exercise("found_heads", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    exercise.cases(lambda: [Case("three scores", 3)])
    exercise.oracle(lambda n: [(1, 2), (0, 3), (1, 0)])
    return exercise


@pytest.mark.parametrize(
    "right",
    [
        [(1, 2), (0, 3), (1, 0)],
        [[1, 2], [0, 3], [1, 0]],
        ((1, 2), (0, 3), (1, 0)),
        torch.tensor([[1, 2], [0, 3], [1, 0]]),
        [(torch.tensor(1), torch.tensor(2)), (0, 3), (1, 0)],
    ],
)
def test_lists_of_heads_in_any_container(found_heads, right):
    assert found_heads.check(lambda n: right).passed


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([(0, 3), (1, 0), (1, 2)], "their order is not"),
        ([(2, 1), (3, 0), (0, 1)], "expected (1, 2), got (2, 1) at index 0"),
        ([(1, 2), (0, 3)], "expected 3 entries, got 2"),
        ({(1, 2)}, "expected 3 entries, got 1"),
        ("1.2", "expected a list"),
        (iter([(1, 2)]), "expected a list"),
    ],
)
def test_lists_of_heads_that_differ(found_heads, wrong, words):
    result = found_heads.check(lambda n: wrong)
    assert result.outcome is Outcome.WRONG
    assert words in result.message


# --- models -----------------------------------------------------------------------------------


@pytest.fixture
def logits_of():
    exercise = Exercise("logits_of", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    exercise.cases(lambda: [Case("a random model", random_model(), random_tokens(2, 5))])
    exercise.oracle(lambda model, tokens: model(tokens))
    return exercise


def test_hooks_left_on_a_model_are_named_and_taken_off(logits_of):
    model = random_model()

    def leaves(model, tokens):
        model.add_hook("hook_embed", lambda value, hook: value)
        return model(tokens)

    result = logits_of.check(leaves)
    assert result.outcome is Outcome.WRONG
    assert "leaves hooks on the model" in result.message
    assert not any(point.fwd_hooks for point in model.hook_dict.values())


def test_hooks_of_a_crashed_attempt_are_taken_off(logits_of):
    def leaves_and_crashes(model, tokens):
        model.add_hook("hook_embed", lambda value, hook: 0 * value)
        raise ValueError("oops")

    assert logits_of.check(leaves_and_crashes).outcome is Outcome.CRASHED
    assert not any(point.fwd_hooks for point in random_model().hook_dict.values())
    assert logits_of.check(lambda model, tokens: model(tokens)).passed


def test_changed_weights_are_named_and_put_back(logits_of):
    before = random_model().W_O.clone()

    def edits(model, tokens):
        logits = model(tokens)
        model.blocks[0].attn.W_O.data[0] = 0.0
        return logits

    def edits_in_place(model, tokens):
        logits = model(tokens)
        with torch.no_grad():
            model.blocks[0].attn.W_O[0] = 0.0
        return logits

    for attempt in (edits, edits_in_place):
        result = logits_of.check(attempt)
        assert "changed the model's weights" in result.message
        assert torch.equal(random_model().W_O, before)


def test_the_random_state_outside_is_left_alone(logits_of):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    logits_of.check(lambda model, tokens: torch.rand(4))
    assert torch.equal(torch.rand(3), expected)


def test_what_libraries_say_of_mistakes_on_file_is_not_the_learners(row_means, recwarn):
    import warnings

    @row_means.wrong("it warns, and this learner did not write it")
    def loud(x):
        warnings.warn("nothing that the learner did", stacklevel=1)
        return x

    result = check(row_means, lambda x: x.mean(-1) * 3)
    assert result.outcome is Outcome.WRONG
    assert not recwarn.list

    def own(x):
        warnings.warn("what the learner did", stacklevel=1)
        return x.mean(-1) * 3

    check(row_means, own)
    assert [str(warning.message) for warning in recwarn.list][:1] == ["what the learner did"]
