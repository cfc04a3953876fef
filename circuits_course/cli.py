"""The `circuits-course` command."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from circuits_course.errors import CourseError
from circuits_course.page.signs import print_anywhere

app = typer.Typer(
    help="Transformer Circuits, the course: check the machine, models, answers and progress.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
mystery = typer.Typer(help="Sealed models with a planted circuit: list them, make new ones.")
app.add_typer(mystery, name="mystery", no_args_is_help=True)
print_anywhere()
console = Console()
errors = Console(stderr=True)


def _one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Shows a CourseError, or what the disk refused, as one line and ends with exit code 1."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except CourseError as error:
            line = str(error)
        except OSError as error:
            line = f"{error.filename or 'The disk'}: {error.strerror or error}."
        errors.print(f"[red]✘[/red] {escape(line)}", soft_wrap=True, highlight=False)
        raise typer.Exit(1)

    return wrapped


@app.command()
@_one_line_errors
def doctor() -> None:
    """Say "ready", or what is missing and how to get it."""
    from circuits_course.models.health import doctor as examine

    findings = examine()
    for finding in findings:
        glyph = "[green]✔[/green]" if finding.ok else "[red]✘[/red]"
        console.print(f"{glyph} {escape(finding.name)}: {escape(finding.advice)}", soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
    console.print("ready")


@app.command()
@_one_line_errors
def models() -> None:
    """List the models: which are on disk, where, how large."""
    from circuits_course.models.catalogue import list_models

    table = Table("model", "on disk", "size", "where", "what")
    for row in list_models():
        size = f"{row.bytes / 1e6:.1f} MB" if row.bytes else ""
        table.add_row(row.name, "yes" if row.on_disk else "no", size, str(row.where), row.summary)
    console.print(table)


@app.command()
@_one_line_errors
def train(
    name: Annotated[str, typer.Argument(help="A course model, for example induction-2l.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
) -> None:
    """Train a course model again from its recipe."""
    from circuits_course.models.training import train as run

    console.print(f"Written: {run(name, out=out, progress=True)}", soft_wrap=True)


@app.command()
@_one_line_errors
def build(
    chapters: Annotated[list[str] | None, typer.Argument(help="Default: every chapter.")] = None,
    check: Annotated[bool, typer.Option(help="Change nothing; fail on any drift.")] = False,
    execute: Annotated[
        bool, typer.Option(help="Run the solved notebook; with --check, compare all that it says.")
    ] = True,
) -> None:
    """Build the notebooks of a chapter from its source, reference answers and checks."""
    from circuits_course.authoring.build import build as build_notebooks
    from circuits_course.authoring.build import drift

    if not check:
        for path in build_notebooks(chapters or None, execute=execute):
            console.print(f"Written: {path}", soft_wrap=True)
        return
    differences = drift(chapters or None, execute=execute)
    for line in differences:
        console.print(escape(line), soft_wrap=True)
    if differences:
        raise typer.Exit(1)
    console.print("No drift.")


@app.command()
@_one_line_errors
def check(
    chapter: Annotated[str, typer.Argument(help='A chapter: "04" or "04_induction_heads".')],
    file: Annotated[Path, typer.Option(help="A Python file that defines your answers.")],
    exercise: Annotated[str | None, typer.Option(help="Check this exercise only.")] = None,
) -> None:
    """Check the answers in a file without Jupyter; exit code 0 when all that are there pass."""
    from circuits_course.classroom.answers_file import check_file

    results, asked = check_file(chapter, file, exercise)
    for result in results:
        console.print(f"[bold]{result.exercise}[/bold]")
        console.print(escape(result.text), soft_wrap=True, highlight=False)
    passed = sum(result.passed for result in results)
    console.print(f"{passed} of {asked} exercises passed.")
    if passed < len(results):
        raise typer.Exit(1)


@app.command()
@_one_line_errors
def mutants(
    chapter: Annotated[str, typer.Argument(help='A chapter: "04" or "04_induction_heads".')],
    exercise: Annotated[str | None, typer.Option(help="This exercise only.")] = None,
    unnamed: Annotated[bool, typer.Option(help="List those that meet no named cause.")] = False,
) -> None:
    """Try small changes of the reference answers on the checks; exit code 1 if any passes."""
    from circuits_course.authoring.mutants import tally
    from circuits_course.checks import load_checks

    checks = load_checks(chapter)
    names = [checks.find_exercise(exercise).name] if exercise else list(checks.exercises)
    tallies = []
    for name in names:
        tallies.append(tally(chapter, name))
        console.print(escape(tallies[-1].text(unnamed)), soft_wrap=True, highlight=False)
    if any(entry.alive or entry.stale for entry in tallies):
        raise typer.Exit(1)


@app.command()
@_one_line_errors
def progress(
    chapter: Annotated[str | None, typer.Argument(help="Default: every chapter.")] = None,
) -> None:
    """Show where you stand."""
    from circuits_course.checks import ready
    from circuits_course.notebook.chapter import Chapter

    for name in [chapter] if chapter else ready():
        course_chapter = Chapter(name)
        table = Table("exercise", "state", "cases", "tries", "hints", title=course_chapter.title)
        for row in course_chapter.progress_rows():
            table.add_row(*row)
        console.print(table)


@app.command()
@_one_line_errors
def publish(
    repo: Annotated[str, typer.Option(help="The repository on GitHub: OWNER/NAME.")],
    ref: Annotated[str, typer.Option(help="The tag to install and open.")],
    out: Annotated[Path, typer.Option(help="Folder for the copies.")] = Path("colab"),
    book: Annotated[
        Path | None, typer.Option(help="Also make the book there, its links filled in.")
    ] = None,
) -> None:
    """Write copies of the notebooks with Colab's badge and set-up cell."""
    from circuits_course.authoring.publish import next_steps
    from circuits_course.authoring.publish import publish as run

    paths = run(repo, ref, out)
    console.print(f"Written: {len(paths)} notebooks in {out}", soft_wrap=True, highlight=False)
    for line in next_steps(repo, ref, paths):
        console.print(escape(line), soft_wrap=True, highlight=False)
    if book is not None:
        from circuits_course.authoring.book.making import make_book
        from circuits_course.authoring.book.places import Published

        console.print(f"Written: {make_book(book, Published(repo, ref, out.name))}", soft_wrap=True)


@app.command()
@_one_line_errors
def book(
    out: Annotated[Path, typer.Argument(help="Folder of the site.")] = Path("build/book"),
) -> None:
    """Make the course's book: a site of pages from the committed notebooks, every link followed."""
    from circuits_course.authoring.book.making import make_book

    console.print(f"Written: {make_book(out)}", soft_wrap=True)


@app.command()
@_one_line_errors
def bundle(
    folder: Annotated[Path, typer.Argument(help="A new folder, for example on a USB stick.")],
    platform: Annotated[
        list[str] | None, typer.Option(help="A further platform, as pip names it: win_amd64.")
    ] = None,
    python_version: Annotated[
        list[str] | None, typer.Option(help="A Python of those platforms: 3.12.")
    ] = None,
    lock_until: Annotated[str, typer.Option(help="Lock solutions until 2026-12-01.")] = "",
    lock_word: Annotated[str, typer.Option(help="A word that opens locked solutions.")] = "",
) -> None:
    """Put the course, its wheels and the real model into one folder, for a room without network."""
    from circuits_course.classroom.bundle import bundle as run
    from circuits_course.classroom.locking import make_lock

    lock = make_lock(lock_until, lock_word) if lock_until or lock_word else None
    pythons = python_version or ()
    made = run(folder, platforms=platform or (), python_versions=pythons, lock=lock)
    console.print(f'Made: {made}. Learners run "python install.py" in it.', soft_wrap=True)


@app.command()
@_one_line_errors
def lock(
    folder: Annotated[Path, typer.Argument(help="A folder for the wheel and the notebooks.")],
    until: Annotated[str, typer.Option(help="The date that opens solutions: 2026-12-01.")] = "",
    word: Annotated[str, typer.Option(help="The word that opens them.")] = "",
) -> None:
    """Write a learner's wheel of the course: solutions are locked, unfinished exercises go on."""
    from circuits_course.classroom.bundle import lock_course
    from circuits_course.classroom.locking import make_lock

    made = lock_course(folder, make_lock(until, word))
    console.print(f"Written: {made}", soft_wrap=True, highlight=False)
    line = escape(f'Learners run: pip install "./{made.name}[lab]"')
    console.print(line, soft_wrap=True, highlight=False)


@app.command()
@_one_line_errors
def report(
    folder: Annotated[
        Path, typer.Argument(help="Learners' notebooks, .py and progress files, or zips of them.")
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    seconds: Annotated[
        float, typer.Option(help="The longest one exercise may take.", min=0.1, max=3600.0)
    ] = 20.0,
    workers: Annotated[int | None, typer.Option(help="Notebooks at a time.", min=1)] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run what was handed in even without a sandbox.")
    ] = False,
    roster: Annotated[Path | None, typer.Option(help="Names, one a line, or a CSV.")] = None,
    feedback: Annotated[Path | None, typer.Option(help="Folder for a page per learner.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Points per learner and exercise.")] = None,
    json: Annotated[Path | None, typer.Option(help="Everything found, for programs.")] = None,
    gradescope: Annotated[
        Path | None, typer.Option(help="One submission as Gradescope's results.json.")
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
) -> None:
    """Check every answer of a class, each notebook apart, and write one page about it."""
    from circuits_course.classroom.names import read_roster
    from circuits_course.storage import require_file_place, require_writable

    for path in (out, csv, json, gradescope):
        if path is not None:
            require_file_place(path)
    if feedback is not None:
        require_writable(feedback)
    people = read_roster(roster) if roster else None
    held = _held(trust, cluster)
    reports = _checked(folder, workers=workers, exercise_seconds=seconds, trust=trust,
                       roster=people, cluster=cluster)  # fmt: skip
    for entry in reports:
        for line in entry.trouble:
            console.print(f"✘ {escape(entry.file)}: {escape(line)}", soft_wrap=True)
    from circuits_course.classroom.feedback import write_feedback
    from circuits_course.classroom.marks import write_csv, write_gradescope, write_json
    from circuits_course.classroom.report_page import write_page

    written = [write_page(reports, out, roster=people, held=held)]
    for path, write in ((csv, write_csv), (json, write_json), (gradescope, write_gradescope)):
        if path is not None:
            written.append(write(reports, path))
    if feedback is not None:
        pages = write_feedback(reports, feedback)
        console.print(f"Written: {len(pages)} pages in {feedback}", soft_wrap=True, highlight=False)
    for path in written:
        console.print(f"Written: {path}", soft_wrap=True, highlight=False)


def _held(trust: bool, cluster: str | None) -> str:
    """What confines learners' code, told at the start where that is no sandbox."""
    from circuits_course.classroom.sandbox import IN_A_SANDBOX, require

    if cluster:
        return "Some machines may have had no sandbox (--trust)." if trust else IN_A_SANDBOX
    found = require(trust)
    if not found.program:
        errors.print(f"! {escape(found.what)}", soft_wrap=True, highlight=False)
    return found.what


def _checked(folder: Path, **options: Any) -> list[Any]:
    """`check_folder` behind a bar."""
    from rich.progress import Progress as Bar

    from circuits_course.classroom.grading import check_folder

    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("Checking", total=None)
        return check_folder(
            folder,
            done=lambda finished, total: bar.update(task, completed=finished, total=total),
            **options,
        )


@mystery.command("list")
@_one_line_errors
def list_mysteries() -> None:
    """List the mysteries: those of the course, from easy to hard, then your own."""
    from circuits_course.mystery import load_mystery, mystery_paths

    table = Table("mystery", "layers", "heads", "symbols", "where")
    for name, path in mystery_paths().items():
        cfg = load_mystery(name).model.cfg
        symbols = "".join(cfg.vocabulary[1:])
        table.add_row(name, str(cfg.n_layers), str(cfg.n_heads), symbols, str(path.parent))
    console.print(table)


@mystery.command("new")
@_one_line_errors
def new_mystery(
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same mystery.")] = None,
    exam: Annotated[
        bool, typer.Option("--exam", help="Keep the key in a file of its own.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
    hiding: Annotated[
        bool, typer.Option("--hiding", help="With a circuit that hides from simple methods.")
    ] = False,
) -> None:
    """Make a fresh mystery; its circuit is verified before it is handed out."""
    from circuits_course.mystery import new_exam
    from circuits_course.mystery import new_mystery as make

    if exam == (seed is not None):
        raise CourseError("Give --seed N for practice, or --exam, which draws a seed of its own.")
    if exam:
        learners, key = new_exam(out or Path(), hiding=hiding)
        console.print(f"For learners: {learners}", soft_wrap=True, highlight=False)
        console.print(f"For you alone: {key}", soft_wrap=True, highlight=False)
        return
    assert seed is not None
    made = make(seed, out, hiding=hiding)
    console.print(f"{made!r}, verified.", soft_wrap=True, highlight=False)
    if out is None:
        console.print(f'In a notebook: load_mystery("{made.name}")', highlight=False)


@mystery.command("grade-exam")
@_one_line_errors
def grade_claims(
    folder: Annotated[Path, typer.Argument(help="The claims handed in: NAME.claim.json.")],
    key: Annotated[Path, typer.Option(help="The key that `mystery new --exam` left.")],
    most: Annotated[int, typer.Option(help="Claims graded of each learner, ever.", min=1)] = 1,
    csv: Annotated[Path | None, typer.Option(help="A table to write, too.")] = None,
) -> None:
    """Grade the claims of an exam; nothing that learners wrote is run."""
    from circuits_course.classroom.exam import PARTS, as_csv, grade_exam
    from circuits_course.storage import require_writable, write_whole

    if csv:
        require_writable(csv.parent)
    marked = grade_exam(folder, key, most)
    table = Table("learner", *PARTS, "points", "note")
    for row in marked:
        marks = [f"{row.marks[part]:.0%}" if row.marks else "" for part in PARTS]
        points = f"{row.points:.0%}" if row.marks else ""
        table.add_row(*(escape(cell) for cell in (row.learner, *marks, points, row.note)))
    console.print(table)
    if csv:
        write_whole(csv, as_csv(marked).encode())
        console.print(f"Written: {csv}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    app()
