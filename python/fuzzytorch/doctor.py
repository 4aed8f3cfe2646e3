"""fuzzyrun doctor: what of a PyTorch the library reaches, what not, and what to do.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import launch
from .errors import FuzzyError

USAGE = """\
usage: fuzzyrun doctor [--json] [-- PYTHON [ARGUMENT...]]

Runs a small program under the library in the python3 on PATH (else python), or in PYTHON,
and says which of its PyTorch's calls reach the library. Exit status: 0 when all that can
be reached is reached, 1 when not, or when there is no PyTorch, 2 for wrong use.
"""

#: What each build of the kernels needs of the CPU, best first.
_ISAS = (
    ("avx512", ("avx512f", "avx512bw", "avx512dq", "avx512vl", "vaes")),
    ("avx2+vaes", ("avx2", "fma", "vaes")),
    ("avx2", ("avx2", "fma", "aes")),
    ("sse41", ("sse4_1", "aes")),
    ("ref", ()),
)

_BLAS = re.compile(
    r"(cblas_)?i?[sdczh]{1,2}(ge|gb|sy|sb|sp|he|hb|hp|tr|tb|tp)?(mm|mv|sv|sm|rk|r2k|r|r2|ru|rc"
    r"|mmt|mm3m)(_batch|_batch_strided|_pack|_pack_get_size|_compute)?_?"
    r"|(cblas_)?i?[sdczh]{1,2}(dot|dotu|dotc|dsdot|axpy|axpby|scal|copy|swap|nrm2|asum|rot"
    r"|rotg|rotm|rotmg|amax|amin)(u|c)?(_sub)?_?|cblas_gemm_\w+|(cblas_)?dsdot_?"
    r"|(cblas_)?sdsdot_?"
)

#: Never called by torch's arithmetic: threads, processes, dlopen.
_HOOKS = frozenset(
    {
        "pthread_create",
        "GOMP_parallel",
        "execve",
        "execv",
        "execvp",
        "execvpe",
        "execl",
        "execlp",
        "execle",
        "fexecve",
        "posix_spawn",
        "posix_spawnp",
        "system",
        "popen",
        "_exit",
        "_Exit",
        "dlopen",
        "xerbla_",
    }
)


def family(symbol: str) -> str:
    """Return the layer that a symbol belongs to: blas, lapack, conv, math or hook."""
    if symbol in _HOOKS:
        return "hook"
    if symbol.startswith(("_ZN", "dnnl_")):
        return "conv"
    if symbol.startswith("at_"):
        return "blas"
    if symbol.startswith("Sleef_") or re.match(r"v[msdcz]{1,2}[A-Z]", symbol):
        return "math"
    if _BLAS.fullmatch(symbol):
        return "blas"
    return "lapack" if re.fullmatch(r"[sdcz]\w+_", symbol) else "math"


def _python(command: Sequence[str]) -> list[str]:
    if command:
        launch.find_command(command)
        return list(command)
    for name in ("python3", "python"):
        try:
            return [launch.find_command([name])]
        except FuzzyError:
            continue
    raise FuzzyError("no python3 on PATH: name one, fuzzyrun doctor -- PYTHON", 1)


def _probe(command: list[str]) -> dict[str, Any]:
    library = launch.find_library().resolve()
    env = dict(os.environ)
    launch.preload(env, library)
    with tempfile.TemporaryDirectory(prefix="fuzzyrun-doctor-") as folder:
        output, report = Path(folder, "probe.json"), Path(folder, "report.json")
        env.update(FUZZY_VERBOSE="0", FUZZY_REPORT=str(report), LD_BIND_NOW="1")
        if env.get("FUZZY_MODE", "sr") == "off":
            env["FUZZY_MODE"] = "sr"  # off would show nothing
        # In a folder of its own, which Python puts first on its path.
        probe = Path(folder, "doctor_probe.py")
        shutil.copyfile(Path(__file__).with_name("doctor_probe.py"), probe)
        done = subprocess.run(
            [*command, str(probe), str(library), str(output)],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if not output.exists():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise FuzzyError(
                f"{command[0]} ended with status {done.returncode}"
                f"{': ' + said[-1] if said else ''}",
                1,
            )
        result = json.loads(output.read_text(encoding="utf-8"))
        result["said"] = done.stderr.splitlines()
        if report.exists():
            result["report"] = json.loads(report.read_text(encoding="utf-8"))
    return result


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "ref"
    line = re.search(r"^flags\s*:(.*)$", text, flags=re.MULTILINE)
    flags = set(line.group(1).split()) if line else set()
    return next(name for name, needs in _ISAS if flags.issuperset(needs))


def examine(result: dict[str, Any]) -> dict[str, Any]:
    """Judge what the probe saw.

    Parameters
    ----------
    result : dict
        The probe's JSON, with the library's report.

    Returns
    -------
    dict
        Families with their symbols by state, and `gaps`: what is wrong and what to do.
    """
    families: dict[str, dict[str, Any]] = {}
    best: dict[str, tuple[str, str]] = {}
    order = ("unbound", "diverted", "bound", "uncalled")
    for row in result["rows"]:
        old = best.get(row["symbol"])
        if old is None or order.index(row["state"]) < order.index(old[0]):
            best[row["symbol"]] = (row["state"], f"{row['library']}: {row['why']}")
    gaps: list[dict[str, str]] = []
    layers = result.get("report", {}).get("layers", [])
    not_diverted = result.get("report", {}).get("not_diverted", [])
    refused = {x["symbol"]: x["why"] for x in not_diverted}
    onednn = result.get("report", {}).get("onednn", {}).get("route") == "primitives"
    for symbol in result["exports"]:
        state, why = best.get(symbol, ("absent", "not in this torch"))
        kind = family(symbol)
        entry = families.setdefault(kind, {"covered": False, "symbols": {}})
        entry["symbols"][symbol] = {"state": state, "why": why}
        # Whether torch may use oneDNN does not matter where oneDNN's entry is ours.
        if onednn and "userEnabledMkldnn" in symbol:
            continue
        if state == "unbound" and kind != "hook":
            if symbol in refused:
                why += f": {refused[symbol]}"
            gaps.append({"what": f"{symbol}: {why}", "do": _advice(symbol, why)})
    for kind, entry in families.items():
        states = {s["state"] for s in entry["symbols"].values()}
        entry["covered"] = bool(states & {"bound", "diverted"})
        entry["in_scope"] = kind in layers or kind == "hook"
    if not families.get("blas", {}).get("covered"):
        stripped = ", ".join(map(os.path.basename, result["stripped"]))
        gaps.append(
            {
                "what": "no matrix product of this torch can be found: its BLAS is bound "
                "inside" + (f", and {stripped} has no .symtab" if stripped else ""),
                "do": "use a torch whose libraries are not stripped, or one that links a "
                "shared BLAS",
            }
        )
    report = result.get("report")
    if report is None:
        gaps.append(
            {
                "what": "the library did not notice torch and wrote no report",
                "do": "start the command without a set-uid or static program before python",
            }
        )
    elif not report["totals"]["perturbed"]["calls"]:
        gaps.append(
            {
                "what": "a product was computed and not perturbed",
                "do": "look at FUZZY_SCOPE, FUZZY_LIBS, FUZZY_EXCLUDE and FUZZY_INCLUDE",
            }
        )
    if report and any("no_liblapack3" in s["why"] for s in report["symbols"]):
        gaps.append(
            {
                "what": "reference LAPACK is missing: LAPACK calls are native",
                "do": "install liblapack3",
            }
        )
    if not result["openmp"]:
        gaps.append(
            {
                "what": "no OpenMP run time is mapped: products use one thread",
                "do": "use a torch that is built with OpenMP",
            }
        )
    return {"families": families, "gaps": gaps, "cpu": _cpu()}


def _advice(symbol: str, why: str) -> str:
    """Return what to do about a symbol that does not reach us, as shim/divert.c has it."""
    if "bound inside" not in why:
        if family(symbol) == "math" and not symbol.startswith(("Sleef_", "v")):
            return (
                "its calls stay native: FUZZY_LIBS leaves the library out, its table of "
                "functions could not be changed, or its random numbers cannot be told apart"
            )
        return "another library comes first: put libfuzzytorch.so first into LD_PRELOAD"
    if "userEnabledMkldnn" in symbol:
        return (
            "functions of at:: are never diverted: convolutions and recurrent layers stay in "
            "oneDNN unless the program sets torch.backends.mkldnn.enabled = False"
        )
    if "userEnabledNNPACK" in symbol:
        return (
            "functions of at:: are never diverted: convolutions may stay in NNPACK unless the "
            "program calls torch.backends.nnpack.set_flags(False)"
        )
    if family(symbol) == "conv":
        return (
            "functions of at:: are never diverted: FUZZY_SCOPE=conv cannot tell convolutions "
            "from other products; keep blas in FUZZY_SCOPE"
        )
    return "its calls stay native; a torch that links a shared BLAS and LAPACK has none"


def _onednn(about: dict[str, Any]) -> list[str]:
    version = about.get("version")
    if not version:
        return [f"oneDNN   led past, if there is any: {about['why']}"] if about else []
    if about["why"]:
        return [f"oneDNN   {version}, led past, to BLAS: {about['why']}"]
    executed = ", ".join(about["executed"])
    lines = [
        f"oneDNN   {version}, executed here: {executed}; others are native, and reported"
    ]
    for left in about["left"]:
        lines.append(
            f"         left to it in this run: {left['primitive']}, {left['calls']} times: "
            f"{left['why']}"
        )
    return lines


def _table(result: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    report = result.get("report", {})
    lines = [
        f"python     {result['python']}",
        f"torch      {result['torch']} in {result['path']}",
        f"build      {'; '.join(result['build'])}",
        f"kernels    {report.get('isa', 'unknown')} (this CPU: {verdict['cpu']})",
        f"OpenMP     {', '.join(result['openmp']) or 'none'}",
    ]
    for name, there in result["runtime"].items():
        need = "not found: FUZZY_REPORT=...,callers and rules about callers need libunwind8"
        lines.append(f"{name.split('.')[0]:<10} {'found' if there else need}")
    lines += ["", "layer    bound  diverted  not bound  not called  absent"]
    for kind in ("blas", "lapack", "conv", "math", "hook"):
        symbols = verdict["families"].get(kind, {"symbols": {}})["symbols"]
        if not symbols:
            lines.append(f"{kind:<8} nothing in this version: native")
            continue
        n = [
            sum(s["state"] == state for s in symbols.values())
            for state in ("bound", "diverted", "unbound", "uncalled", "absent")
        ]
        scope = "" if verdict["families"][kind]["in_scope"] else "  not in FUZZY_SCOPE"
        lines.append(
            f"{kind:<8} {n[0]:>5}  {n[1]:>8}  {n[2]:>9}  {n[3]:>10}  {n[4]:>6}{scope}"
        )
    lines += _onednn(report.get("onednn", {}))
    lines.append("fft      MKL's and pocketfft's are counted, and native")
    if "inst" not in report.get("layers", []):
        lines.append("inst     not in this run: inlined arithmetic is native")
    lines.append("")
    for gap in verdict["gaps"]:
        lines += [f"gap: {gap['what']}", f"     {gap['do']}"]
    if not verdict["gaps"]:
        lines.append("All calls of this torch that can be reached are.")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Run `fuzzyrun doctor`.

    Parameters
    ----------
    arguments : sequence of str
        What follows the word `doctor`.

    Returns
    -------
    int
        The exit status.
    """
    words = list(arguments)
    command: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
        if not command:
            raise FuzzyError("doctor: no command after --")
    if words in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    wrong = [w for w in words if w != "--json"]
    if wrong:
        raise FuzzyError(f"doctor: {wrong[0]!r} is not an option (doctor --help)")
    result = _probe(_python(command))
    if "error" in result:
        if words:
            print(json.dumps({"schema": 1, **result}, indent=1))
        else:
            print(
                f"{result['python']} has no PyTorch that it can import: {result['error']}"
            )
        return 1
    verdict = examine(result)
    if words:
        print(json.dumps({"schema": 1, **result, **verdict}, indent=1))
    else:
        print("\n".join(_table(result, verdict)))
    return 1 if verdict["gaps"] else 0
