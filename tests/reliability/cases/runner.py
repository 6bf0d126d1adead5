"""Runs a command of the tables in a process of its own, and compares the world before and after.

Importing PyTorch takes seconds. So this process imports it once, and each row runs in a fork of it.
"""

import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import stat
import sys
import threading
import time
import types
from dataclasses import dataclass, field
from pathlib import Path

from utils import PROJECT, shown

from .case import Case

COMMANDS = (
    "main_generate_sag",
    "draw_sag",
    "benchmark",
    "reproduce_paper",
    "score_deviation",
    "deliberative_explanation",
    "concept_debug",
)
BY_FORCE = -99  # the status of a command that had to be killed
UNDRAWN = ".sag.json.undrawn"  # docs/record.md: the next run draws it
WAITING = 4  # times the seconds of a row, on the clock, after which it hangs
MOST_IN_A_PIPE = 60_000  # bytes
LINE = 600  # characters of a line at most
ENDINGS = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>", ".html": b"</html>", ".gif": b";"}


@dataclass
class Ended:
    """How a command ended.

    Attributes:
        status: the exit status; that of a signal is below 0.
        out, err: what it wrote.
        seconds: of the processor that it took; on the clock where it was killed.
    """

    status: int
    out: str
    err: str
    seconds: float


@dataclass
class Verdict:
    """What came of a row: nothing wrong where `wrong` is empty."""

    case: Case
    ended: Ended
    wrong: list[str] = field(default_factory=list)


def prepare() -> None:
    """Import in this process whatever the commands need."""
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(PROJECT))
    import importlib

    import torch
    import torchvision  # noqa: F401

    torch.set_num_threads(1)
    for name in COMMANDS:
        importlib.import_module(name)


# ---------------------------------------------------------------- one process


def run_command(command: list[str], world: Path, case: Case) -> Ended:
    """Run a command in a fork of this process, with the world as its working directory."""
    started = time.monotonic()
    log = world.with_name(world.name + ".log")
    log.mkdir(exist_ok=True)
    for name in ("out", "err"):
        (log / name).write_text("")  # where it is killed before it has a stream
    reader, writer = os.pipe()  # for a command that may write no file of its own
    child = os.fork()
    if child == 0:
        _become(command, world, log, case.around, writer)
    os.close(writer)
    if case.stop:
        os.read(reader, 1)  # it begins
    status, seconds = _wait(child, case, started if not case.stop else time.monotonic())
    if case.around.startswith("limit"):
        (log / "err").write_bytes(os.read(reader, MOST_IN_A_PIPE))
    os.close(reader)
    if (log / "broken").exists():
        raise RuntimeError((log / "broken").read_text())
    texts = [(log / name).read_text(errors="backslashreplace") for name in ("out", "err")]
    return Ended(status, *texts, seconds)


def _wait(child: int, case: Case, started: float) -> tuple[int, float]:
    """Wait for a process; send it the row's signal; kill it where it takes too long.

    Returns:
        The exit status, and seconds of the processor: other work on the machine does not count.
    """
    to_send = case.stop
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            break
        elapsed = time.monotonic() - started
        if to_send and elapsed > to_send[1]:
            os.kill(child, getattr(signal, to_send[0]))
            to_send = None
        if elapsed > WAITING * case.seconds:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return BY_FORCE, elapsed
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it has started and left
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def _become(command: list[str], world: Path, log: Path, around: str, pipe: int) -> None:
    """Turn this fork into the command; never returns."""
    code = 70
    try:
        os.setsid()
        for number, target in enumerate(_streams(log, around, pipe)):
            os.dup2(target, number)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        if around == "no streams":
            os.close(2)
            os.close(1)
            sys.stdout = sys.stderr = None
        os.environ.update(HOME=str(world / "home"), TMPDIR=str(world / "tmp"))
        os.environ.pop("VIRTUAL_ENV", None)
        import tempfile

        tempfile.tempdir = None
        os.chdir(world)
        if around.startswith("limit"):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            limit = int(around.split()[1])
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = _run(command, pipe if not around.startswith("limit") else None)
    except BaseException:
        import traceback

        (log / "broken").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def _streams(log: Path, around: str, pipe: int) -> list[int]:
    nothing = os.open(os.devnull, os.O_RDWR)
    out, err = (os.open(log / n, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for n in ("out", "err"))
    if around == "full stderr":
        err = os.open("/dev/full", os.O_WRONLY)
    if around.startswith("limit"):
        out = err = pipe
    if around == "full streams":
        out = err = os.open("/dev/full", os.O_WRONLY)
    if around == "nobody reads":
        reader, out = os.pipe()
        os.close(reader)
        err = out
    return [nothing, out, err]


def _run(command: list[str], begun: int | None) -> int:
    """Run a command as the interpreter would; return its exit status.

    Args:
        command: the program and its arguments.
        begun: a pipe that is told when the command begins; None: it is the command's own.
    """
    import atexit

    sys.argv = [str(PROJECT / command[0]), *command[1:]]
    main = types.ModuleType("__main__")
    main.__file__ = sys.argv[0]
    sys.modules["__main__"] = main
    program = compile(Path(sys.argv[0]).read_bytes(), sys.argv[0], "exec")
    if begun is not None:
        os.write(begun, b".")
    try:
        exec(program, main.__dict__)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        code = 130
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()
    return code


# ---------------------------------------------------------------- the world, before and after


def seen_below(folder: Path) -> dict[bytes, tuple]:
    """Return what lies below a folder, apart from folders: kind and content by path.

    Python's own cache beside an imported FILE.py does not count.
    """
    found = {}
    top = os.fsencode(folder)
    for place, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name != b"__pycache__"]
        for name in [*names, *(n for n in folders if os.path.islink(os.path.join(place, n)))]:
            path = os.path.join(place, name)
            about = os.lstat(path)
            if stat.S_ISLNK(about.st_mode):
                seen = ("link", os.readlink(path))
            elif stat.S_ISREG(about.st_mode) and about.st_size < 10**7:
                with open(path, "rb") as file:
                    seen = ("file", hashlib.sha256(file.read()).hexdigest())
            else:
                seen = ("other", about.st_mode, about.st_size)
            found[os.path.relpath(path, top)] = seen
    return found


def half_files(folder: Path, before: dict[bytes, tuple], was_stopped: bool) -> list[str]:
    """Return the files below a folder that are not whole, were not so before, or are left over."""
    wrong = []
    now = seen_below(folder)
    for name in sorted(now):
        path = folder / os.fsdecode(name)
        if now[name][0] != "file" or now[name] == before.get(name):
            continue
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.name == UNDRAWN:
            continue
        if is_hidden and was_stopped:
            continue
        content = path.read_bytes()
        if path.suffix == ".json" and not _is_json(content):
            wrong.append(f"half a file: {os.fsdecode(name)!r}")
        end = ENDINGS.get(path.suffix)
        if end and not content.rstrip().endswith(end):
            wrong.append(f"half a file: {os.fsdecode(name)!r}")
        if is_hidden or path.suffix in (".tmp", ".part"):
            wrong.append(f"left over: {os.fsdecode(name)!r}")
    return wrong


def _is_json(content: bytes) -> bool:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        json.loads(content, parse_constant=refuse)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- one row


def judge(case: Case, template: Path, place: Path) -> Verdict:
    """Run a row in a copy of the world, and say what is wrong with what came of it."""
    world = place / "one" / "world"
    shutil.rmtree(world.parent, ignore_errors=True)
    shutil.copytree(template, world, symlinks=True)
    try:
        case.change(world)
        before = seen_below(world.parent)
        ended = run_command(case.command(), world, case)
        verdict = Verdict(case, ended)
        after = {k: v for k, v in seen_below(world.parent).items() if b"world.log/" not in k}
        verdict.wrong += wrong_with_end(case, ended)
        verdict.wrong += wrong_with_files(case, before, after, ended.status)
        inside = world / case.place()
        if case.place() and inside.is_dir():
            start = os.fsencode(f"world/{case.place()}/")
            old = {k[len(start) :]: v for k, v in before.items() if k.startswith(start)}
            verdict.wrong += half_files(inside, old, case.stop is not None)
    finally:
        clean(world.parent)
    return verdict


def clean(place: Path) -> None:
    """Remove a row's world."""
    shutil.rmtree(place, ignore_errors=True)


def wrong_with_end(case: Case, ended: Ended) -> list[str]:
    """Return what is wrong with the exit status, the lines and the time."""
    wrong = []
    if ended.status == BY_FORCE or ended.seconds > case.seconds:
        wrong.append(f"took {ended.seconds:.1f} s")
    if ended.status not in case.status:
        wrong.append(f"exit status {ended.status}, not {case.status}")
    if "Traceback (most recent" in ended.err + ended.out:
        wrong.append("a traceback")
    lines = said(ended.err)
    errors = [line for line in lines if "error: " in line]
    failures = [line for line in lines if line.startswith("failed: ")]
    if not case.around and not case.stop:
        if ended.status == 2 and len(errors) != 1:
            wrong.append(f"{len(errors)} lines of an error")
        if ended.status == 1 and not failures:
            wrong.append("nothing is said to have failed")
    if any(len(line) > LINE for line in lines):
        wrong.append("a line without an end")
    if any(shown(line) != line for line in lines if len(line) <= LINE):
        wrong.append("control characters on the terminal")
    where = {2: errors, 1: failures}.get(ended.status, lines)
    text = "\n".join(where).lower()
    if case.says and not any(words.lower() in text for words in case.says.split("|")):
        wrong.append(f"does not say {case.says!r}")
    return wrong


def said(err: str) -> list[str]:
    """Return the lines of a log, without progress bars."""
    lines = [line.split("\r")[-1].rstrip() for line in err.split("\n")]
    return [line for line in lines if line and "it/s]" not in line and "%|" not in line]


def wrong_with_files(
    case: Case, before: dict[bytes, tuple], after: dict[bytes, tuple], status: int
) -> list[str]:
    """Return which files were touched that should not have been."""
    wrong = []
    may = os.fsencode(f"world/{case.place()}/") if case.place() else None
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        # What was finished before a file could not be written is there; see half_files.
        is_done = status != 2 or 1 in case.status or case.around != ""
        is_allowed = may is not None and name.startswith(may) and is_done
        if not is_allowed:
            what = "removed" if name not in after else "changed" if name in before else "written"
            wrong.append(f"{what}: {os.fsdecode(name)!r}")
    gone = [name for name in case.keeps if os.fsencode(f"world/{name}") not in after]
    return wrong + [f"not there: {name}" for name in gone]
