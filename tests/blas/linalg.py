"""torch.linalg under the library: residuals as LAPACK's testers measure them, and bad input.

SPDX-License-Identifier: Apache-2.0

Run by test_lapack.py with each torch. Prints JSON: for each check its residual in units of
n*eps (LAPACK's programs ask for less than 30), for bad input what torch makes of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import torch

DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def units(error: torch.Tensor, scale: torch.Tensor, n: int) -> float:
    """1-norm of the error over n * eps * 1-norm of the scale."""
    eps = torch.finfo(error.dtype).eps
    norm = torch.linalg.matrix_norm
    wide = torch.complex128 if error.is_complex() else torch.float64
    return float(norm(error.to(wide), 1) / norm(scale.to(wide), 1)) / (n * eps)


def residuals(dtype: torch.dtype, n: int) -> dict[str, float]:
    """All decompositions of random matrices of one type and size."""
    wide = torch.complex128 if dtype.is_complex else torch.float64
    a = torch.randn(n, n, dtype=dtype)
    b = torch.randn(n, 3, dtype=dtype)
    up = a.to(wide)
    spd = (up @ up.mH / n + torch.eye(n)).to(dtype)
    sym = ((up + up.mH) / 2).to(dtype)
    eye = torch.eye(n, dtype=wide)
    out: dict[str, float] = {}

    def put(name: str, got: torch.Tensor, want: torch.Tensor) -> None:
        out[name] = units((got - want.to(wide)).to(dtype), want.to(dtype), n)

    lu, pivots = torch.linalg.lu_factor(a)
    p, low, high = torch.lu_unpack(lu, pivots)
    put("lu", p.to(wide) @ low.to(wide) @ high.to(wide), a)
    x = torch.linalg.solve(a, b).to(wide)
    scale = float(torch.linalg.matrix_norm(up, 1) * torch.linalg.matrix_norm(x, 1))
    error = torch.linalg.matrix_norm(up @ x - b.to(wide), 1)
    out["solve"] = float(error) / (scale * n * torch.finfo(dtype).eps)
    chol = torch.linalg.cholesky(spd).to(wide)
    put("cholesky", chol @ chol.mH, spd)
    q, r = torch.linalg.qr(a)
    put("qr", q.to(wide) @ r.to(wide), a)
    put("qr orthogonality", q.to(wide).mH @ q.to(wide), eye)
    u, s, v = torch.linalg.svd(a)
    put("svd", u.to(wide) @ torch.diag(s.to(wide)) @ v.to(wide), a)
    put("svd orthogonality", u.to(wide).mH @ u.to(wide), eye)
    w, z = torch.linalg.eigh(sym)
    put("eigh", z.to(wide) @ torch.diag(w.to(wide)) @ z.to(wide).mH, sym)
    put("eigh orthogonality", z.to(wide).mH @ z.to(wide), eye)
    w, z = torch.linalg.eig(a)
    big = torch.complex128
    error = (
        (a.to(big) @ z.to(big) - z.to(big) @ torch.diag(w.to(big))).abs().sum(0).max()
    )
    size = float(torch.linalg.matrix_norm(a.to(big), 1))
    size *= float(torch.linalg.matrix_norm(z.to(big), 1))
    out["eig"] = float(error) / (size * n * torch.finfo(dtype).eps)
    inverse = torch.linalg.inv(spd).to(wide)
    size = float(
        torch.linalg.matrix_norm(inverse, 1) * torch.linalg.matrix_norm(spd, 1)
    )
    error = torch.linalg.matrix_norm(inverse @ spd.to(wide) - eye, 1)
    out["inv"] = float(error) / (size * n * torch.finfo(dtype).eps)
    for driver in ("gels", "gelsd", "gelss", "gelsy"):
        tall = torch.randn(2 * n, n, dtype=dtype)
        rhs = torch.randn(2 * n, 2, dtype=dtype)
        sol = torch.linalg.lstsq(tall, rhs, driver=driver).solution.to(wide)
        # the residual is orthogonal to the columns
        rest = rhs.to(wide) - tall.to(wide) @ sol
        size = float(torch.linalg.matrix_norm(tall, 1)) ** 2
        size *= float(torch.linalg.matrix_norm(sol, 1))
        error = torch.linalg.matrix_norm(tall.to(wide).mH @ rest, 1)
        out[driver] = float(error) / (size * 2 * n * torch.finfo(dtype).eps)
    ldl, piv = torch.linalg.ldl_factor(sym, hermitian=True)
    x = torch.linalg.ldl_solve(ldl, piv, b, hermitian=True).to(wide)
    size = float(
        torch.linalg.matrix_norm(sym.to(wide), 1) * torch.linalg.matrix_norm(x, 1)
    )
    error = torch.linalg.matrix_norm(sym.to(wide) @ x - b.to(wide), 1)
    out["ldl"] = float(error) / (size * n * torch.finfo(dtype).eps)
    if dtype.is_complex:  # sytrf; hetrf was above
        both = a + a.mT
        ldl, piv = torch.linalg.ldl_factor(both)
        x = torch.linalg.ldl_solve(ldl, piv, b).to(wide)
        size = float(torch.linalg.matrix_norm(both.to(wide), 1))
        size *= float(torch.linalg.matrix_norm(x, 1))
        error = torch.linalg.matrix_norm(both.to(wide) @ x - b.to(wide), 1)
        out["ldl, symmetric"] = float(error) / (size * n * torch.finfo(dtype).eps)
    if torch.__version__ < "2":  # syev and heev
        w, z = torch.symeig(sym, eigenvectors=True)
        put("symeig", z.to(wide) @ torch.diag(w.to(wide)) @ z.to(wide).mH, sym)
    raw, tau = torch.geqrf(a)
    turned = torch.ormqr(raw, tau, b, left=True, transpose=False).to(wide)
    put("ormqr", turned, q.to(wide) @ b.to(wide))
    x = torch.linalg.lu_solve(lu, pivots, b) if hasattr(torch.linalg, "lu_solve") else x
    x = (
        torch.lu_solve(b, lu, pivots).to(wide)
        if not hasattr(torch.linalg, "lu_solve")
        else x
    )
    error = torch.linalg.matrix_norm(up @ x.to(wide) - b.to(wide), 1)
    out["lu_solve"] = float(error) / (scale * n * torch.finfo(dtype).eps)
    chol_x = torch.cholesky_solve(b, chol.to(dtype)).to(wide)
    size = float(torch.linalg.matrix_norm(spd, 1) * torch.linalg.matrix_norm(chol_x, 1))
    error = torch.linalg.matrix_norm(spd.to(wide) @ chol_x - b.to(wide), 1)
    out["cholesky_solve"] = float(error) / (size * n * torch.finfo(dtype).eps)
    out["cholesky inverse"] = units(
        (torch.cholesky_inverse(chol.to(dtype)).to(wide) @ spd.to(wide) - eye).to(
            dtype
        ),
        spd,
        n,
    )
    return {f"{k} {dtype} {n}".replace("torch.", ""): v for k, v in out.items()}


def outcome(action: Callable[[], object]) -> str:
    """What becomes of bad input: the error's first words, or the kind of result."""
    try:
        result = action()
    except Exception as error:  # noqa: BLE001, all kinds are compared
        return f"{type(error).__name__}: {str(error)[:60]}"
    parts = result if isinstance(result, tuple) else (result,)
    kinds = []
    for part in parts:
        if not isinstance(part, torch.Tensor):
            continue
        if part.dtype == torch.int32:
            kinds.append(str(part.flatten().tolist()[:2]))
        else:
            kinds.append(
                "finite"
                if bool(
                    torch.isfinite(
                        torch.view_as_real(part) if part.is_complex() else part
                    ).all()
                )
                else "not finite"
            )
    return " ".join(kinds)


def bad_input() -> dict[str, str]:
    """Singular, not positive definite, NaN and Inf."""
    ones = torch.ones(5, 5)
    holed = torch.eye(5)
    holed[2, 3] = float("nan")
    huge = torch.eye(5)
    huge[1, 1] = float("inf")
    mixed = torch.diag(torch.tensor([1.0, 1.0, -1.0, 1.0, 1.0]))
    la = torch.linalg
    cases: dict[str, Callable[[], object]] = {
        "inv singular": lambda: la.inv(torch.zeros(4, 4)),
        "solve singular": lambda: la.solve(torch.zeros(5, 5), torch.ones(5, 1)),
        "lu singular": lambda: la.lu_factor_ex(torch.zeros(5, 5))[2],
        "det singular": lambda: la.det(ones),
        "cholesky of indefinite": lambda: la.cholesky(mixed),
        "cholesky_ex of indefinite": lambda: la.cholesky_ex(mixed)[1],
        "empty svd": lambda: la.svdvals(torch.zeros(0, 3)),
        "empty inv": lambda: la.inv(torch.zeros(0, 0)),
    }
    for name, matrix in (("NaN", holed), ("Inf", huge)):
        for op in ("inv", "svdvals", "eigvalsh", "cholesky", "qr", "eigvals"):
            cases[f"{op} of {name}"] = lambda op=op, matrix=matrix: getattr(la, op)(
                matrix
            )
    return {name: outcome(action) for name, action in cases.items()}


def main() -> None:
    """Run all, print JSON."""
    torch.manual_seed(5)
    torch.set_num_threads(2)
    checks: dict[str, float] = {}
    for dtype in DTYPES:
        for n in (4, 33, 100):
            checks.update(residuals(dtype, n))
    print(
        json.dumps(
            {"residuals": checks, "bad": bad_input(), "torch": torch.__version__}
        )
    )


if __name__ == "__main__":
    main()
