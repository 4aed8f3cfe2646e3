"""Reading study folders: file formats, and what is damaged, missing or hostile.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tempfile
import unittest
import wave
import zipfile
from pathlib import Path

import numpy as np
import studies
import support  # noqa: F401  (makes the package importable)
from fuzzytorch import arrays
from fuzzytorch.arrays import Unreadable, open_file
from fuzzytorch.errors import FuzzyError
from fuzzytorch.study import Study


class Evil:
    """Unpickling one of these writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (self.path, "w")


class Scratch(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)


class Files(Scratch):
    """Formats of collected files."""

    def one(self, name: str, data: bytes) -> np.ndarray:
        """Return the only array of a file."""
        path = self.folder / name
        path.write_bytes(data)
        found = open_file(path)
        self.assertEqual(list(found), [""])
        return found[""].load()

    def test_npy(self) -> None:
        for values in (
            np.arange(6, dtype=np.float32).reshape(2, 3),
            np.array(3.5),
            np.zeros((0, 3)),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.arange(4, dtype=">f8"),
            np.array([1 + 2j]),
        ):
            out = io.BytesIO()
            np.save(out, values)
            found = self.one("a.npy", out.getvalue())
            np.testing.assert_array_equal(found, values)
            self.assertEqual(found.shape, values.shape)

    def test_pieces(self) -> None:
        values = np.arange(100, dtype=np.int16)
        np.save(self.folder / "a.npy", values)
        array = arrays.npy(self.folder / "a.npy")
        np.testing.assert_array_equal(array.piece(10, 20), values[10:20])
        np.testing.assert_array_equal(array.piece(90, 200), values[90:])

    def test_joined(self) -> None:
        parts = [np.arange(6.0).reshape(3, 2), np.arange(6.0, 8).reshape(1, 2)]
        joined = arrays.Joined([arrays._keep(p) for p in parts])
        self.assertEqual((joined.shape, joined.size), ((4, 2), 8))
        for start, stop in ((0, 8), (0, 3), (5, 7), (6, 100), (8, 9)):
            np.testing.assert_array_equal(
                joined.piece(start, stop), np.arange(8.0)[start:stop]
            )
        for other in (np.zeros((1, 3)), np.array(1.0)):
            with self.assertRaises(Unreadable):
                arrays.Joined([arrays._keep(parts[0]), arrays._keep(other)])

    def test_npz(self) -> None:
        path = self.folder / "a.npz"
        np.savez_compressed(path, x=np.arange(3), y=np.ones((2, 2)))
        found = open_file(path)
        np.testing.assert_array_equal(found["y"].load(), np.ones((2, 2)))
        self.assertEqual(set(found), {"x", "y"})

    def test_large_ones_go_to_the_scratch_folder(self) -> None:
        values = np.random.default_rng(0).standard_normal(1 << 20)
        np.savez(self.folder / "a.npz", x=values)
        array = open_file(self.folder / "a.npz")["x"]
        self.assertIsInstance(array._source, Path)
        np.testing.assert_array_equal(array.load(), values)

    def test_safetensors(self) -> None:
        values = np.arange(4, dtype="<f4")
        halves = np.array([1.5, -2.0], "<f4").view("<u4") >> 16
        header = json.dumps(
            {
                "__metadata__": {"format": "pt"},
                "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                "b": {"dtype": "BF16", "shape": [2], "data_offsets": [16, 20]},
            }
        ).encode()
        data = struct.pack("<Q", len(header)) + header + values.tobytes()
        data += halves.astype("<u2").tobytes()
        path = self.folder / "a.safetensors"
        path.write_bytes(data)
        found = open_file(path)
        np.testing.assert_array_equal(found["w"].load(), values.reshape(2, 2))
        np.testing.assert_array_equal(found["b"].load(), [1.5, -2.0])
        path.write_bytes(data[:-1])
        with self.assertRaises(Unreadable):
            open_file(path)

    def test_csv_and_json(self) -> None:
        path = self.folder / "a.csv"
        path.write_text("step,loss,name\n1,0.5,x\n2,0.25,y\n")
        found = open_file(path)
        np.testing.assert_array_equal(found["loss"].load(), [0.5, 0.25])
        self.assertEqual(set(found), {"step", "loss"})
        path.write_text("1,2\n3,4\n")
        np.testing.assert_array_equal(open_file(path)["column 2"].load(), [2, 4])
        path = self.folder / "a.json"
        path.write_text('{"f1": 0.5, "by": {"x": [1, 2]}, "ok": true, "s": "text"}')
        found = open_file(path)
        self.assertEqual(set(found), {"f1", "by.x"})
        path = self.folder / "a.jsonl"
        path.write_text('{"loss": 0.5}\n{"loss": 0.25}\n')
        np.testing.assert_array_equal(open_file(path)["loss"].load(), [0.5, 0.25])

    def test_nifti(self) -> None:
        values = np.arange(24, dtype="<i2").reshape(2, 3, 4)
        head = bytearray(352)
        struct.pack_into("<i", head, 0, 348)
        struct.pack_into("<8h", head, 40, 3, 2, 3, 4, 1, 1, 1, 1)
        struct.pack_into("<hh", head, 70, 4, 16)
        struct.pack_into("<f", head, 108, 352.0)
        struct.pack_into("<ff", head, 112, 2.0, 1.0)
        head[344:348] = b"n+1\0"
        data = bytes(head) + values.tobytes(order="F")
        np.testing.assert_array_equal(self.one("a.nii", data), 2 * values + 1)
        np.testing.assert_array_equal(
            self.one("a.nii.gz", gzip.compress(data)), 2 * values + 1
        )
        struct.pack_into("<ff", head, 112, 0.0, 0.0)
        data = bytes(head) + values.tobytes(order="F")
        np.testing.assert_array_equal(self.one("b.nii", data), values)
        self.assertEqual(self.one("b.nii", data).dtype, np.int16)
        with self.assertRaises(Unreadable):
            self.one("c.nii", data[:-1])

    def test_wav(self) -> None:
        with wave.open(str(self.folder / "a.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(struct.pack("<3h", 0, 16384, -32768))
        found = open_file(self.folder / "a.wav")[""].load()
        np.testing.assert_array_equal(found[:, 0], [0, 0.5, -1])

    def test_png(self) -> None:
        try:
            from PIL import Image
        except ImportError:
            self.skipTest("no Pillow in this Python")
        values = np.arange(12, dtype=np.uint8).reshape(3, 4)
        Image.fromarray(values).save(self.folder / "a.png")
        found = open_file(self.folder / "a.png")[""].load()
        np.testing.assert_array_equal(found, values)

    def test_torch(self) -> None:
        try:
            import torch
        except ImportError:
            self.skipTest("no PyTorch in this Python")
        path = self.folder / "a.pt"
        torch.save({"w": torch.ones(2, dtype=torch.bfloat16), "epoch": 3}, path)
        found = open_file(path)
        np.testing.assert_array_equal(found["w"].load(), [1, 1])
        self.assertEqual(float(found["epoch"].load()), 3)


class Hostile(Scratch):
    """Files that would run code, and files that are cut or lie."""

    def test_nothing_is_unpickled(self) -> None:
        trap = self.folder / "sprung"
        evil = np.array([Evil(str(trap))], object)
        np.save(self.folder / "a.npy", evil, allow_pickle=True)
        np.savez(self.folder / "a.npz", x=evil)
        (self.folder / "a.pt").write_bytes(pickle.dumps(Evil(str(trap))))
        with zipfile.ZipFile(self.folder / "b.pt", "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps(Evil(str(trap))))
            file.writestr("archive/version", "3\n")
        for name in ("a.npy", "a.npz", "a.pt", "b.pt"):
            with self.assertRaises(Unreadable, msg=name):
                open_file(self.folder / name)
        with self.assertRaisesRegex(Unreadable, "Python objects, which are not read"):
            open_file(self.folder / "a.npy")
        self.assertFalse(trap.exists())
        pickle.loads((self.folder / "a.pt").read_bytes()).close()
        self.assertTrue(trap.exists(), "the trap does not work")

    def test_noise_for_every_kind(self) -> None:
        rng = np.random.default_rng(1)
        for ending in arrays._READERS:
            if ending in (".csv", ".json", ".jsonl"):
                continue
            for data in (b"", b"\0" * 7, rng.bytes(5000)):
                path = self.folder / f"x{ending}"
                path.write_bytes(data)
                with self.assertRaises(Unreadable, msg=ending) as caught:
                    open_file(path)
                self.assertEqual(len(str(caught.exception).splitlines()), 1)

    def test_cut_short(self) -> None:
        path = self.folder / "a.npy"
        np.save(path, np.arange(100.0))
        data = path.read_bytes()
        for size in (3, 60, 200, len(data) - 1):
            path.write_bytes(data[:size])
            with self.assertRaises(Unreadable):
                arrays.npy(path)


class Folder(Scratch):
    """Study folders."""

    def test_no_study(self) -> None:
        for path in (self.folder, self.folder / "nowhere"):
            with self.assertRaises(FuzzyError) as caught:
                Study(path)
            self.assertIn("no study", str(caught.exception))

    def test_quantities(self) -> None:
        studies.layered(self.folder / "s", 3)
        study = Study(self.folder / "s")
        names = [q.label for q in study.quantities()]
        self.assertEqual(names, ["stem", "encoder.0", "encoder.attn", "head", "Net"])
        first = study.quantities()[0]
        self.assertEqual(sorted(first.samples), [1, 2, 3])
        self.assertEqual(sorted(first.controls), [1, 2])
        self.assertFalse(study.partial)

    def test_calls_ranks_and_process_folders_are_apart(self) -> None:
        made = studies.MadeStudy(self.folder / "s")
        for k in (1, 2):
            folder = made.run(
                f"sample-{k:04d}",
                [({"call": 0}, np.ones(2)), ({"call": 1}, np.zeros(2))],
            )
            (folder / "record" / "rank-1").mkdir()
            for name in ("index.jsonl", "00000.npy", "00001.npy"):
                data = (folder / "record" / name).read_bytes()
                (folder / "record" / "rank-1" / name).write_bytes(data)
        labels = [q.label for q in Study(self.folder / "s").quantities()]
        self.assertEqual(
            labels, ["Net", "Net (call 2)", "rank-1: Net", "rank-1: Net (call 2)"]
        )

    def test_damage_is_listed_and_the_rest_is_read(self) -> None:
        studies.layered(self.folder / "s", 4)
        record = self.folder / "s" / "sample-0002" / "record"
        (record / "00000.npy").write_bytes(b"\x93NUMPY")
        (record / "00001.npy").unlink()
        index = self.folder / "s" / "sample-0003" / "record" / "index.jsonl"
        lines = index.read_text().splitlines()
        lines[1] = lines[1][:20]
        lines[2] = lines[2].replace('"00002.npy"', '"../00002.npy"')
        index.write_text("\n".join(lines[:-1]) + '\n{"name": "cu')
        (self.folder / "s" / "sample-0004" / "status.json").write_text("{")
        study = Study(self.folder / "s")
        found = {q.label: q for q in study.quantities()}
        self.assertEqual(found["stem"].missing, [2])
        self.assertEqual(found["encoder.0"].missing, [2, 3])
        self.assertEqual(found["encoder.attn"].missing, [3])
        text = "\n".join(study.problems)
        for word in ("00000.npy", "00001.npy", "line 2 is damaged", "lies elsewhere"):
            self.assertIn(word, text)
        self.assertIn("sample-0004/status.json is damaged", text)
        self.assertEqual(len(study.problems), 5)
        records = {r.folder.name: study.record(r) for r in study.samples}
        self.assertTrue(records["sample-0003"].partial)
        self.assertFalse(records["sample-0002"].partial)

    def test_ragged(self) -> None:
        made = studies.MadeStudy(self.folder / "s")
        for k, size in ((1, 3), (2, 4), (3, 3)):
            made.run(f"sample-{k:04d}", [({}, np.ones(size))])
        (quantity,) = Study(self.folder / "s").quantities()
        self.assertTrue(quantity.ragged)
        self.assertEqual(quantity.shapes, [(3,), (4,)])

    def test_newer_format(self) -> None:
        studies.MadeStudy(self.folder / "s", format=99)
        with self.assertRaises(FuzzyError):
            Study(self.folder / "s")


if __name__ == "__main__":
    unittest.main()
