"""What all verbs have in common: help, version, usage, streams, signals, progress."""

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_files import deck_ptf, deck_safetensors, run, spawn

import ptformat
from ptformat.cli import commands
from ptformat.cli.text import columns, count, plain, size

VERBS = ["conformance", "convert", "diff", "edit", "info", "pack", "plan", "tree", "unpack", "verify"]


def test_the_verbs() -> None:
    assert sorted(commands.commands) == VERBS


def test_help_imports_neither_numpy_nor_a_framework() -> None:
    loaded_at_exit = "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    after = f"import atexit; atexit.register(lambda: {loaded_at_exit})"
    for args in (["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)):
        done = spawn(*args, before=after)
        assert done.returncode == 0
        loaded = set(re.findall(r"'(\w+)'", done.stderr))
        assert "click" in loaded
        assert not loaded & {"numpy", "ml_dtypes", "msgpack", "torch", "jax", "flax", "safetensors", "rich"}


def test_version() -> None:
    done = spawn("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ptformat {ptformat.__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_help_opens_with_an_example_that_works(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(verb, "--help").stdout.splitlines()[0]
    program, *args = shlex.split(first.removeprefix("Example: "))
    assert (program, args[0]) == ("ptformat", verb)
    monkeypatch.chdir(tmp_path)
    deck_safetensors(Path("model.safetensors"))
    if first.count("model.ptf") and verb != "pack":
        deck_ptf(Path("model.ptf"))
    result = run(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(Path(arg).exists() for arg in args[1:] if "." in arg)


def test_without_a_verb_the_help_and_exit_2() -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == run("--help").stdout


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["colour"], "No such command 'colour'. Try 'ptformat --help'"),
        (["tree"], "tree: Missing argument 'FILE'. Try 'ptformat tree --help'"),
        (["verify"], "verify: Missing argument 'FILE...'. Try 'ptformat verify --help'"),
        (["tree", "a", "b"], "tree: Got unexpected extra argument (b). Try 'ptformat tree --help'"),
        (["pack", "a.ptf"], "pack: Missing argument 'DST.ptf'. Try 'ptformat pack --help'"),
        (["unpack", "a", "b", "--raw"], "unpack: No such option '--raw'. Try 'ptformat unpack --help'"),
        (
            ["convert", "a", "b.ptf", "--to", "keras"],
            "convert: Invalid value for '--to': 'keras' is not one of 'linen', 'nnx', 'torch'. "
            "Try 'ptformat convert --help'",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(args: list[str], line: str) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    # click ends such a line with a guess at what was meant in some versions
    assert result.stderr.splitlines()[0].replace(" Did you mean", "") == f"ptformat: {line}"
    assert result.stderr.count("\n") == 1
    assert "?." not in run("pla").stderr


def test_a_bug_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("ptformat.verification.verify", broken)
    with pytest.raises(ZeroDivisionError):
        run("verify", deck_ptf(tmp_path / "deck.ptf"))


def test_head_closes_the_pipe_in_peace(tmp_path: Path) -> None:
    path = tmp_path / "wide.ptf"
    one = np.zeros(1, np.uint8)
    with ptformat.Writer(path) as out:
        for number in range(20_000):
            out.tensor(f"a.{number}", one)
    command = f"{shlex.quote(sys.executable)} -m ptformat tree {shlex.quote(str(path))} | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{path} · 1.0 · 20,000 parameters · 20.0 kB\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "ptformat: interrupted\n"), (signal.SIGTERM, 143, "")]
)
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: int, code: int, said: str) -> None:
    source = deck_ptf(tmp_path / "deck.ptf")
    target = tmp_path / "out.safetensors"
    target.write_bytes(b"old")
    # The first write to the new file waits to be interrupted.
    before = (
        "import os, signal, time\n"
        "from ptformat.atomic import AtomicFile\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell ignores it for what it runs behind
        "AtomicFile.write = lambda self, data: (print('ready', flush=True), time.sleep(60))"
    )
    start = [sys.executable, "-c", f"{before}\nfrom ptformat.cli import main\nmain()", "unpack", source, target]
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert len(list(tmp_path.iterdir())) == 3  # the temporary file is there
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (code, said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deck.ptf", "out.safetensors"]
    assert target.read_bytes() == b"old"


def on_terminal(*args: str | os.PathLike[str]) -> tuple[int, str, str]:
    """Exit code, stdout and what a terminal gets on stderr; the line is shown from the first byte on."""
    before = "import sys, ptformat.cli.progress as p; p.DELAY = 0\nfrom ptformat.cli import main\nmain()"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", before, *map(os.fspath, args)]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    stdout, _ = process.communicate(timeout=30)
    return process.returncode, stdout.decode(), shown.decode()


@pytest.mark.parametrize("verb", ["convert", "recast", "edit", "pack", "unpack", "diff", "info", "verify"])
def test_long_work_shows_a_line_on_a_terminal(verb: str, tmp_path: Path) -> None:
    source = tmp_path / "large.ptf"
    with ptformat.Writer(source, convention="torch") as out:
        out.tensor("0.weight", np.zeros((2000, 5000), np.float32))
        out.tensor("0.bias", np.zeros(2000, np.float32))
    args: dict[str, list[str | Path]] = {
        "convert": ["convert", source, tmp_path / "o.msgpack", "--to", "linen"],
        "recast": ["convert", source, tmp_path / "o.msgpack"],
        "edit": ["edit", source, tmp_path / "o.msgpack", "--rename", "0=one"],
        "diff": ["diff", source, source],
        "info": ["info", source, "--stats"],
        "pack": ["pack", source, tmp_path / "o.ptf"],
        "unpack": ["unpack", source, tmp_path / "o.safetensors"],
        "verify": ["verify", source],
    }
    code, stdout, shown = on_terminal(*args[verb])
    assert code == 0
    assert re.search(r"(o\.\w+|large\.ptf) .*40\.\d/40\.\d MB", re.sub(r"\x1b\[[\d;?]*\w", "", shown))
    assert "\x1b" not in stdout
    piped = spawn(*args[verb])
    assert (piped.returncode, piped.stderr) == (0, "")
    if verb not in ("diff", "info", "verify"):
        assert on_terminal(*args[verb], "--quiet") == (0, "", "")


def test_a_terminal_without_the_signs_gets_question_marks(tmp_path: Path) -> None:
    path = deck_ptf(tmp_path / "deck.ptf")
    done = spawn("tree", path, env=os.environ | {"PYTHONIOENCODING": "latin-1"}, encoding="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n?? 1  ReLU  no parameters\n" in done.stdout
    assert "weight  (8, 4)  float32  out × in" in done.stdout


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (196, "196 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (90_868_376, "90.9 MB"),
        (1_500_000_000, "1.5 GB"),
        (2 * 10**12, "2.0 TB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_size(nbytes: int, text: str) -> None:
    assert size(nbytes) == text


def test_count() -> None:
    assert [count(0, "alias"), count(1, "alias"), count(1, "tensor"), count(22_713_216, "parameter")] == [
        "0 aliases",
        "1 alias",
        "1 tensor",
        "22,713,216 parameters",
    ]


def test_columns_align_and_the_last_cell_stretches_nothing() -> None:
    assert columns([("a", "bb", ""), ("ccc", "d" * 9), ("e", "f", "g")]) == ["a    bb", "ccc  ddddddddd", "e    f   g"]


def test_plain_escapes_whatever_does_not_print() -> None:
    assert plain("out × in é") == "out × in é"
    assert plain("a\nb\x1b\u202e\udc80") == "a\\nb\\x1b\\u202e\\udc80"
