"""Keep torch.compile's own computations exact: run by the library inside `import torch`.

SPDX-License-Identifier: Apache-2.0

Compilers fold constants and try kernels out. What they compute then stays in the code that
they write, so the thread is marked meanwhile (fuzzy_exact in shim/compiling.c). Modules are
changed when they are imported, which most programs never do.
"""

import contextlib
import ctypes
import functools
import os
import sys

_process = ctypes.PyDLL(None)
_exact = _process.fuzzy_exact


def _take_over(*names):
    """Let os.environ have what the library has set meanwhile."""
    _process.getenv.restype = ctypes.c_char_p
    for name in names:
        value = _process.getenv(name.encode())
        if value is not None:
            os.environ[name] = os.fsdecode(value)


@contextlib.contextmanager
def _compiling():
    before = _exact(1)
    try:
        yield
    finally:
        _exact(before)


def _callbacks(module):
    """Every compilation of dynamo's, and of a backward pass that is compiled late."""
    handler = module.CompilationCallbackHandler
    install = handler.install_callbacks

    @functools.wraps(install)
    @contextlib.contextmanager
    def install_callbacks(self, *args, **keywords):
        with _compiling(), install(self, *args, **keywords):
            yield

    handler.install_callbacks = install_callbacks


def _wrap(module, name):
    compile_it = getattr(module, name, None)
    if compile_it is None:
        return

    @functools.wraps(compile_it)
    def wrapped(*args, **keywords):
        with _compiling():
            return compile_it(*args, **keywords)

    setattr(module, name, wrapped)


def _inductor(module):
    """Compilations that dynamo has no part in: of exported programs."""
    _wrap(module, "compile_fx")
    _wrap(module, "compile_fx_aot")


_CHANGES = {
    "torch._dynamo.callback": _callbacks,
    "torch._inductor.compile_fx": _inductor,
}


class _Finder:
    """Import hook: finds modules as the other finders do, and changes those above."""

    def find_spec(self, name, path=None, target=None):
        """Return the spec that the other finders give, its module changed once executed."""
        change = _CHANGES.get(name)
        if change is None:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                break
        else:
            return None
        execute = getattr(spec.loader, "exec_module", None)
        if execute is None:
            return spec

        def exec_module(module):
            execute(module)
            try:
                change(module)
            except AttributeError:
                sys.stderr.write(
                    f"libfuzzytorch: warning: {name} of this torch is another one: what "
                    "torch.compile computes while it compiles is perturbed too\n"
                )

        with contextlib.suppress(AttributeError):
            spec.loader.exec_module = exec_module
        return spec


_take_over("TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_CPP_MARCH")
sys.meta_path.insert(0, _Finder())
