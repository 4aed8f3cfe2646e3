"""The command line of fuzzyrun.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import errno
import getopt
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from . import __version__, launch, summary
from .errors import FuzzyError
from .runs import RECORDS

if TYPE_CHECKING:
    from .sampling import Sampler

USAGE = """\
usage: fuzzyrun [-m MODE] [-s SEED] [--] COMMAND [ARGUMENT...]
       fuzzyrun -n N [-j JOBS] [-o DIR] [--control K] [-m MODE] [-s SEED] [--] COMMAND...
       fuzzyrun status|report|compare|verdict|doctor ... (each has --help)

Runs COMMAND with libfuzzytorch preloaded, so that the PyTorch in it rounds stochastically.

  -m, --mode MODE     off, nearest, sr, ud or cestac (default: FUZZY_MODE, else sr)
  -s, --seed SEED     an integer below 2^64, or random (default: FUZZY_SEED, else random)
      --libs PATTERNS perturb floating-point instructions of these libraries and programs as
                      well (names or paths with *, commas between; torch; all): sets
                      FUZZY_LIBS and adds inst to FUZZY_SCOPE
  -n, --samples N     run COMMAND N times, with seeds SEED to SEED+N-1, and print how many
                      digits of the numbers on stdout the samples share
  -j, --jobs JOBS     samples at a time (default 1); each gets cores/JOBS OpenMP threads,
                      unless OMP_NUM_THREADS is set
  -o, --output DIR    folder of the samples (default: a new fuzzy-samples-K); the same
                      command with the same DIR makes what is missing there
      --control K     runs in mode off before sampling, to see what varies by itself
                      (default 2; 0 for none)
      --executor E    who makes the samples: local, dask (worker processes of its own),
                      dask:ADDRESS (a scheduler) or slurm (a job array by sbatch)
      --record WHAT   store what modules give, with no change to COMMAND: outputs (of the
                      outermost modules), modules (of all), params (and their gradients, at
                      the end), grads (of the modules' outputs, in the backward pass);
                      several with commas
      --record-limit SIZE  for a sample's record, e.g. 500M (default 2G)
      --collect GLOB  take files that COMMAND writes into its working folder; repeatable
      --reference f64 a run in mode off with PyTorch's floats in double as well
      --adaptive      sample in looks of 5, 10, 20, ... until it is decided whether outputs
                      keep --bits S bits; --max-samples N (default 64)
  status DIR          how far a study is
  report DIR          what a study says: terminal, report.json, report.html
  compare DIR1 DIR2   two studies side by side
  verdict DIR --against OTHER  is a difference inside the numerical noise?
  prepare [-- COMMAND...]  makes the plans of moved code ahead: of PyTorch, or of COMMAND
  cache [--clear]     the plans that there are
  doctor              says which calls of a PyTorch are reached, and which are not
  -h, --help          this text
      --version       the version

Without -n, fuzzyrun becomes COMMAND and its exit status is COMMAND's. With -n it is 0 when
all samples succeeded and were perturbed, 1 when one was not or something failed on the way,
2 for wrong use, 130 after Ctrl-C.
A COMMAND finds in its environment FUZZY_SAMPLE (1 to N, 0 in a control) and FUZZY_SAMPLE_DIR,
a folder of its own: files it writes there are kept and compared.
"""

#: First words that are, or will be, fuzzyrun's own commands. `fuzzyrun -- report` runs a
#: program of that name.
#: A module of a name in fuzzytorch.__all__ would hide the function.
_MODULES = {
    "cache": "plans",
    "compare": "comparing",
    "prepare": "preparing",
    "report": "reporting",
}
RESERVED = ("cache", "compare", "doctor", "prepare", "report", "status", "verdict")

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class _Options:
    """What stands on the command line."""

    def __init__(self, argv: Sequence[str]) -> None:
        try:
            pairs, self.command = getopt.getopt(
                list(argv),
                "m:s:n:j:o:h",
                [
                    "mode=",
                    "seed=",
                    "libs=",
                    "samples=",
                    "jobs=",
                    "output=",
                    "control=",
                    "executor=",
                    "record=",
                    "record-limit=",
                    "collect=",
                    "reference=",
                    "adaptive",
                    "bits=",
                    "max-samples=",
                    "help",
                    "version",
                ],
            )
        except getopt.GetoptError as error:
            raise FuzzyError(f"{error} (fuzzyrun --help lists the options)") from None
        self.mode: str | None = None
        self.seed: str | None = None
        self.libs: str | None = None
        self.count: int | None = None
        self.jobs: int | None = None
        self.output: str | None = None
        self.controls: int | None = None
        self.executor: str | None = None
        self.record: list[str] = []
        self.record_limit: int | None = None
        self.collect: list[str] = []
        self.reference: str | None = None
        self.adaptive = False
        self.bits: float | None = None
        self.max_samples: int | None = None
        self.show: str | None = None
        for option, value in pairs:
            self._take(option, value)
        used = len(argv) - len(self.command)
        self.forced = used > 0 and argv[used - 1] == "--"

    def _take(self, option: str, value: str) -> None:
        if option in ("-m", "--mode"):
            self.mode = launch.check_mode(value)
        elif option in ("-s", "--seed"):
            launch.parse_seed(value)
            self.seed = value
        elif option == "--libs":
            launch.choose_libraries(value, os.environ)
            self.libs = value
        elif option in ("-n", "--samples"):
            self.count = _integer(value, "number of samples", 1)
        elif option in ("-j", "--jobs"):
            self.jobs = _integer(value, "number of jobs", 1)
        elif option in ("-o", "--output"):
            self.output = value
        elif option == "--control":
            self.controls = _integer(value, "number of controls", 0)
        elif option == "--executor":
            from .executors import check

            self.executor = check(value)
        elif option in ("-h", "--help"):
            self.show = USAGE
        elif option == "--version":
            self.show = f"fuzzyrun {__version__}\n"
        else:
            self._take_study(option, value)

    def _take_study(self, option: str, value: str) -> None:
        if option == "--record":
            for word in value.split(","):
                if word not in RECORDS:
                    raise FuzzyError(f"record {word!r} is none of {', '.join(RECORDS)}")
                if word not in self.record:
                    self.record.append(word)
        elif option == "--record-limit":
            self.record_limit = _size(value)
        elif option == "--collect":
            self.collect.append(value)
        elif option == "--reference":
            if value != "f64":
                raise FuzzyError(f"reference {value!r}: f64 is what there is")
            self.reference = value
        elif option == "--adaptive":
            self.adaptive = True
        elif option == "--bits":
            try:
                self.bits = float(value)
            except ValueError:
                raise FuzzyError(f"bits {value!r} is not a number") from None
        elif option == "--max-samples":
            self.max_samples = _integer(value, "number of samples", 1)


def _integer(text: str, name: str, low: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise FuzzyError(f"{name} {text!r} is not an integer") from None
    if number < low:
        raise FuzzyError(f"{name} {number}: at least {low} is needed")
    return number


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if found is None:
        raise FuzzyError(f"size {text!r} is not a number of bytes such as 500M or 2G")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _new_folder() -> Path:
    for k in range(1, 10_000):
        path = Path(f"fuzzy-samples-{k}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise FuzzyError(
                f"{path}: {error.strerror}: name a folder with -o", 1
            ) from None
    raise FuzzyError("fuzzy-samples-1 to -9999 are all there: name a folder with -o")


def _check(options: _Options) -> None:
    """Options that do not go together."""
    if options.collect and ((options.jobs or 1) > 1 or options.executor):
        raise FuzzyError(
            "--collect takes files from one working folder, which runs at a time would "
            "share: leave out -j and --executor, or write into $FUZZY_SAMPLE_DIR"
        )
    if options.adaptive and options.count is not None:
        raise FuzzyError("--adaptive decides the number of samples: leave out -n")
    for value, name in (
        (options.bits, "--bits"),
        (options.max_samples, "--max-samples"),
    ):
        if value is not None and not options.adaptive:
            raise FuzzyError(f"{name} is for --adaptive")


def _sampler(options: _Options, path: Path) -> Callable[[int], Sampler]:
    """Return what makes a sampler of the study for a number of samples."""
    from .sampling import Sampler

    mode = options.mode or launch.check_mode(os.environ.get("FUZZY_MODE", "sr"))
    seed = launch.parse_seed(options.seed or os.environ.get("FUZZY_SEED", "random"))
    return lambda count: Sampler(
        options.command,
        count,
        path,
        mode,
        seed,
        options.jobs or 1,
        2 if options.controls is None else options.controls,
        record=options.record,
        record_limit=options.record_limit,
        collect=options.collect,
        reference=options.reference is not None,
        executor=options.executor or "local",
    )


def _folder(options: _Options) -> Path:
    launch.find_command(options.command)  # before a folder is made
    launch.find_library()
    return Path(options.output) if options.output else _new_folder()


def _adaptive(options: _Options) -> int:
    adaptive = _module("adaptive")
    if not options.record:
        options.record = ["outputs"]
    path = _folder(options)
    try:
        return int(
            adaptive.run(
                _sampler(options, path), path, options.bits, options.max_samples or 64
            )
        )
    except KeyboardInterrupt:
        return _interrupted(path)


def _module(name: str) -> ModuleType:
    """Return the module of a command."""
    try:
        return importlib.import_module(f".{_MODULES.get(name, name)}", __package__)
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.{_MODULES.get(name, name)}":
            raise
        raise FuzzyError(
            f"{name}: not a command of this version; fuzzyrun -- {name} runs a "
            f"program of that name"
        ) from None


def _interrupted(path: Path) -> int:
    print(
        f"fuzzyrun: interrupted; finished samples are kept, the same command with "
        f"-o {path} goes on",
        file=sys.stderr,
    )
    return 130


def _sample(options: _Options, count: int) -> int:
    path = _folder(options)
    sampler = _sampler(options, path)(count)
    try:
        samples, done = sampler.run()
    except KeyboardInterrupt:
        return _interrupted(path)
    for line in summary.lines(samples, done, count):
        print(line)
    good = len(samples) == count and all(run.ok for run in samples)
    bare = summary.unperturbed(samples)
    if bare:
        print(
            f"fuzzyrun: nothing was perturbed in {len(bare)} of {len(samples)} samples: does "
            f"the command use PyTorch on the CPU?",
            file=sys.stderr,
        )
    return 0 if good and not bare else 1


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _dispatch(argv: Sequence[str]) -> int:
    options = _Options(argv)
    if options.show is not None:
        print(options.show, end="")
        return 0
    if not options.command:
        raise FuzzyError("no command to run (fuzzyrun --help)")
    name = options.command[0]
    if name in RESERVED and not options.forced:
        if len(argv) != len(options.command):
            raise FuzzyError(f"{name} takes no options of fuzzyrun before it")
        return int(_module(name).main(options.command[1:]))
    _check(options)
    if options.count is None and not options.adaptive:
        for value, name in (
            (options.jobs, "-j"),
            (options.output, "-o"),
            (options.controls, "--control"),
            (options.executor, "--executor"),
            (options.record or None, "--record"),
            (options.record_limit, "--record-limit"),
            (options.collect or None, "--collect"),
            (options.reference, "--reference"),
        ):
            if value is not None:
                raise FuzzyError(f"{name} is for sampling: give -n as well")
        launch.run(options.command, options.mode, options.seed)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    if options.count is None:
        return _adaptive(options)
    return _sample(options, options.count)


def main(argv: Sequence[str] | None = None) -> int:
    """Run fuzzyrun.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, without the program's name; those of the process by default.

    Returns
    -------
    int
        The exit status.
    """
    try:
        status = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except FuzzyError as error:
        message, status = str(error), error.status
    except KeyboardInterrupt:
        message, status = "interrupted", 130
    except OSError as error:
        full = error.errno == errno.ENOSPC
        name = f"{error.filename}: " if error.filename else ""
        message = f"{name}{'the disk is full' if full else error.strerror}"
        status = 1
        # What could not be written must not be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    print(f"fuzzyrun: {message}", file=sys.stderr)
    return status
