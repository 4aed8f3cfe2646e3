"""Make a Python of a sampled command record: waits for torch, then loads ../recorder.py.

SPDX-License-Identifier: Apache-2.0

fuzzyrun puts this file's folder into PYTHONPATH. Python imports it at its start, so it must
import little, say nothing, and run the sitecustomize that it hides. Its folder holds
nothing else, and leaves sys.path at once.
"""

import os
import sys


class _Waiting:
    """Import hook that sees torch come."""

    def __init__(self, record):
        self.record = record

    def find_spec(self, name, path=None, target=None):
        """Find torch as the other finders do; hook it when it has been executed."""
        if name != "torch":
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
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                _load(self.record)

        try:
            spec.loader.exec_module = exec_module
        except AttributeError:
            pass
        return spec


def _load(path):
    import importlib.util

    name = "_fuzzytorch_record"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        module.install()
    except Exception as error:  # noqa: BLE001
        del sys.modules[name]
        sys.stderr.write(f"fuzzyrun: warning: nothing is recorded: {error}\n")


def _begin():
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if not p or os.path.abspath(p) != here]
    sys.path_importer_cache.pop(here, None)
    if os.environ.get("FUZZY_RECORD"):
        sys.meta_path.insert(
            0, _Waiting(os.path.join(os.path.dirname(here), "recorder.py"))
        )
    # Who stands behind this file in sys.path would have been run without it.
    import importlib.machinery
    import importlib.util

    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        hidden = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = hidden
        spec.loader.exec_module(hidden)


_begin()
