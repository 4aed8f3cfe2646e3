"""Whose noise is whose: ranks of torchrun, workers of DataLoaders, started programs.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import sys
import unittest

from common import StudyCase

#: Each rank prints its product before and after an all-reduce, and those of its workers.
RANKS = """\
import json, os, sys, torch
import torch.distributed as dist
torch.manual_seed(0)
A, B = torch.randn(30, 30), torch.randn(30, 30)
def product():
    return (A @ B).double().sum().item().hex()
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 2
    def __getitem__(self, i):
        return torch.utils.data.get_worker_info().id, product()
def main():
    dist.init_process_group("gloo")
    own = product()
    together = A @ B
    dist.all_reduce(together)
    loader = torch.utils.data.DataLoader(Data(), num_workers=2, batch_size=None,
                                         multiprocessing_context=sys.argv[1])
    got = {"rank": dist.get_rank(), "own": own, "workers": [p for _, p in loader],
           "together": together.double().sum().item().hex()}
    with open(f"{os.environ['FUZZY_SAMPLE_DIR']}/{dist.get_rank()}.json", "w") as file:
        json.dump(got, file)
    dist.destroy_process_group()
if __name__ == "__main__":
    main()
"""

#: One process, its workers of both kinds, and a program that it starts twice.
WORKERS = """\
import subprocess, sys, torch
torch.manual_seed(0)
A, B = torch.randn(30, 30), torch.randn(30, 30)
def product():
    return (A @ B).double().sum().item().hex()
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, i):
        return product()
if __name__ == "__main__":
    print("main", product())
    if len(sys.argv) == 1:
        for how in ("fork", "spawn"):
            loader = torch.utils.data.DataLoader(
                Data(), num_workers=2, batch_size=None, multiprocessing_context=how)
            for epoch in range(2 if how == "fork" else 1):
                for i, value in enumerate(loader):
                    print(how, epoch, i, value)
        for i in range(2):
            print("child", i, subprocess.run([sys.executable, __file__, "once"],
                  capture_output=True, text=True).stdout.split()[1])
"""


class Workers(StudyCase):
    """All noise differs, and a seed repeats all of it."""

    def test_data_loader(self) -> None:
        """Workers by fork and by spawn, over epochs, and started programs."""
        self.script(WORKERS)
        got = [
            self.run_python("script.py", FUZZY_SEED=seed).stdout.splitlines()
            for seed in ("3", "3", "4")
        ]
        self.assertEqual(got[0], got[1], "a seed repeats")
        values = [line.rsplit(" ", 1)[1] for line in got[0]]
        self.assertEqual(len(values), 1 + 3 * 4 + 2)
        self.assertEqual(len(set(values)), len(values), "all differ")
        other = [line.rsplit(" ", 1)[1] for line in got[2]]
        self.assertFalse(set(values) & set(other))

    def test_torchrun(self) -> None:
        """Two ranks with gloo, two workers each; samples of such a job."""
        self.script(RANKS)
        seen: list[str] = []
        for how, n in (("fork", 2), ("spawn", 1)):
            study = self.folder / how
            done = self.fuzzyrun(
                "-n", n, "-s", 3, "--control", 0, "-o", study,
                "--", sys.executable, "-m", "torch.distributed.run", "--standalone",
                "--nproc-per-node", 2, self.folder / "script.py", how,
            )  # fmt: skip
            self.assertIn(f"{n} of {n} samples finished", done.stdout)
            for k in range(1, n + 1):
                files = study / f"sample-000{k}" / "files"
                ranks = [json.loads((files / f"{r}.json").read_text()) for r in (0, 1)]
                self.assertEqual([r["rank"] for r in ranks], [0, 1])
                self.assertEqual(ranks[0]["together"], ranks[1]["together"])
                mine = [v for r in ranks for v in (r["own"], *r["workers"])]
                self.assertEqual(len(mine), 6)
                if how == "fork":
                    seen += mine
                self.assertEqual(len(set(mine)), 6, "ranks and workers differ")
        self.assertEqual(len(set(seen)), len(seen), "samples differ")

    def test_ranks_of_any_launcher(self) -> None:
        """Ranks that are nobody's children differ by their number alone."""
        self.script(WORKERS)

        def product(**env: str) -> str:
            return self.run_python("script.py", "once", FUZZY_SEED="3", **env).stdout

        plain = product()
        self.assertEqual(plain, product(RANK="0"), "rank 0 is as a run without ranks")
        self.assertEqual(product(RANK="1"), product(SLURM_PROCID="1"))
        ranks = [plain, product(RANK="1"), product(OMPI_COMM_WORLD_RANK="2")]
        self.assertEqual(len(set(ranks)), 3)


if __name__ == "__main__":
    unittest.main()
