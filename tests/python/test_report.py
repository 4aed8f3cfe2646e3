"""fuzzyrun report: what it says, its three forms, and studies that are not as they should be.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import numpy as np
import studies
import support
from fuzzytorch import analysis, extras, reporting
from fuzzytorch.errors import FuzzyError
from fuzzytorch.study import Study
from test_study import Scratch

try:
    import jinja2  # noqa: F401
    import matplotlib  # noqa: F401

    PAGES = True
except ImportError:
    PAGES = False

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def report(*arguments: object) -> tuple[int, str, str]:
    """Run fuzzyrun report; return its status and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = reporting.main([str(a) for a in arguments])
    return status, out.getvalue(), err.getvalue()


def rich_study(path: Path, n: int = 6) -> None:
    """Make a study with all that a report can show: layers, labels, pictures, curves."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[0:32, 0:40] / 32.0
    picture = (1 + np.sin(6 * x) * np.cos(4 * y)).astype(np.float32)
    edge = np.abs(picture - 1) < 0.1
    scores = rng.standard_normal((40, 5)).astype(np.float32)
    scores[3, :2] = 2.5, 2.5005
    sizes = {"conv1": -20.0, "conv2": -19.0, "norm": -13.5, "fc": -13.0}
    values = {k: rng.uniform(1, 2, (8, 16)).astype("f4") for k in sizes}
    made = studies.MadeStudy(path, n, record=["modules", "grads"])

    def run(name: str, noise: float) -> None:
        tensors = [
            (
                {"name": k, "module": k, "kind": "module", "type": "Layer"},
                studies.noisy(v, noise * 2.0 ** sizes[k], rng),
            )
            for k, v in values.items()
        ]
        fuzz = noise * 1e-3 * rng.standard_normal(picture.shape)
        image = picture + np.where(edge, 30 * fuzz, fuzz)
        labels = (image > 1).astype(np.int64) + (image > 1.6)
        tensors += [
            ({"name": "Net", "module": "Net", "type": "Net"},
             studies.noisy(scores, noise * 1e-4, rng)),
            ({"name": "image", "kind": "record"}, image[None, None].astype("f4")),
            ({"name": "mask", "kind": "record"}, labels[None]),
        ]  # fmt: skip
        tensors += [
            ({"name": k, "module": k, "kind": "grad", "pass": "backward"},
             studies.noisy(values[k], noise * 2.0 ** (sizes[k] + 2), rng))
            for k in reversed(values)
        ]  # fmt: skip
        steps = np.arange(1, 13)
        loss = np.exp(-steps / 5) * (1 + noise * 1e-4 * steps * rng.standard_normal(12))
        text = "".join(f"epoch {s} loss: {v:.9f}\n" for s, v in zip(steps, loss))
        csv = "step,accuracy\n" + "".join(
            f"{s},{1 - v / 2:.9f}\n" for s, v in zip(steps, loss)
        )
        made.run(name, tensors, text, {"log.csv": csv.encode()})

    run("control-1", 0.0)
    run("control-2", 0.0)
    for k in range(1, n + 1):
        run(f"sample-{k:04d}", 1.0)


class Page(HTMLParser):
    """Collects what a page would fetch, and its sections."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.sections: list[str] = []
        self.open: list[str] = []
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Note sources and sections."""
        given = dict(attrs)
        for name in ("src", "href", "xlink:href"):
            value = given.get(name)
            if value and not value.startswith(("#", "data:")):
                self.fetched.append(value)
        if tag in ("script", "link", "iframe"):
            self.bad.append(tag)
        if tag == "section":
            self.sections.append(given["id"])


class Findings(Scratch):
    """The content of report.json."""

    def result(self, **options: object) -> dict:
        """Return the analysis of the study s."""
        study = Study(self.folder / "s")
        return analysis.analyse(study, analysis.Options(**options)).result

    def test_layers(self) -> None:
        studies.layered(self.folder / "s", 20)
        result = self.result()
        rows = {e["label"]: e for e in result["quantities"]}
        # Relative noise 2^-k gives k - log2(1.96) bits, pooled over 640 elements.
        for name, exponent in (("stem", 20), ("encoder.attn", 13), ("head", 12.5)):
            bits = rows[name]["measures"]["significant"]["bits"]
            self.assertAlmostEqual(bits, exponent - 0.97, delta=0.15)
        self.assertAlmostEqual(rows["encoder.attn"]["lost"]["bits"], 6.5, delta=0.2)
        self.assertEqual(rows["encoder.attn"]["lost"]["after"], "encoder.0")
        self.assertTrue(rows["encoder.attn"]["lost"]["clear"])
        self.assertFalse(rows["head"]["lost"]["clear"])
        self.assertIsNone(rows["Net"]["lost"])
        verdict = result["verdict"]
        self.assertEqual(verdict["least_stable"], "head")
        self.assertEqual(verdict["producer"], "encoder.attn")
        self.assertEqual(verdict["output"], "Net")
        self.assertEqual((verdict["state"], verdict["warnings"]), ("ok", []))
        self.assertIn("The output Net keeps 11.5 of 24 bits", verdict["sentences"][0])

    def test_containers_lose_nothing(self) -> None:
        layers = (
            ("block.0", "Linear", 2.0**-20),
            ("block.1", "Linear", 2.0**-15),
            ("block", "Sequential", 2.0**-15),
            ("out", "Linear", 2.0**-14.9),
        )
        studies.layered(self.folder / "s", 10, layers)
        rows = {e["label"]: e for e in self.result()["quantities"]}
        self.assertIsNone(rows["block"]["lost"])
        self.assertEqual(rows["out"]["lost"]["after"], "block.1")

    def test_json_is_plain(self) -> None:
        rich_study(self.folder / "s")
        status, _, _ = report("--no-html", self.folder / "s")
        self.assertEqual(status, 0)
        text = (self.folder / "s" / "report.json").read_text()
        self.assertNotIn("NaN", text)
        found = json.loads(text)
        self.assertEqual(found["schema"], 1)
        described = (support.ROOT / "docs" / "report-schema.md").read_text()
        missing = [k for k in keys(found) if f"`{k}`" not in described]
        self.assertEqual(missing, [], "not in docs/report-schema.md")

    def test_no_number_that_json_lacks(self) -> None:
        found = reporting.clean({"a": [float("inf"), 1.5, (float("nan"),)], 3: "x"})
        self.assertEqual(found, {"a": [None, 1.5, [None]], "3": "x"})

    def test_labels_and_flips(self) -> None:
        rich_study(self.folder / "s", 12)
        result = self.result()
        rows = {e["label"]: e for e in result["quantities"]}
        self.assertIsNone(rows["mask"]["measures"])
        self.assertEqual(
            [r["label"] for r in rows["mask"]["labels"]["by_label"]], [0, 1, 2]
        )
        self.assertLess(rows["mask"]["labels"]["by_label"][0]["dice"]["min"], 1)
        flips = rows["Net"]["flips"]
        self.assertEqual(flips["flipped"], 1)
        self.assertEqual(flips["largest_margins"][0]["item"], 3)
        self.assertIsNone(self.result(read_classes=False)["quantities"][4]["flips"])

    def test_counters_among_buffers_are_no_decisions(self) -> None:
        made = studies.MadeStudy(self.folder / "s")
        for k in range(1, 4):
            counter = {"name": "norm.batches", "kind": "param", "pass": "end"}
            made.run(
                f"sample-{k:04d}", [({}, np.ones(3, "f4")), (counter, np.array(7))]
            )
        result = self.result()
        self.assertIsNotNone(result["quantities"][1]["labels"])
        self.assertNotIn("batches", " ".join(result["verdict"]["sentences"]))

    def test_curves(self) -> None:
        rich_study(self.folder / "s")
        curves = {c["label"]: c for c in self.result()["curves"]}
        self.assertEqual(set(curves), {"loss", "log.csv:accuracy"})
        loss = curves["loss"]
        self.assertEqual((loss["steps"], loss["n"]), (12, 6))
        self.assertTrue(all(a <= b <= c for a, b, c in
                            zip(loss["low"], loss["mean"], loss["high"])))  # fmt: skip
        self.assertAlmostEqual(loss["control"][0], np.exp(-0.2), places=8)

    def test_references(self) -> None:
        studies.layered(self.folder / "s", 5)
        mean = self.result()["quantities"][0]["measures"]["significant"]["bits"]
        ieee = self.result(reference="ieee")["quantities"][0]["measures"]
        self.assertAlmostEqual(ieee["significant"]["bits"], mean, delta=0.01)
        with self.assertRaises(FuzzyError):
            self.result(reference="f64")
        shutil.copytree(
            self.folder / "s" / "control-1", self.folder / "s" / "reference-f64"
        )
        exact = self.result(reference="f64")["quantities"][0]["measures"]
        self.assertEqual(exact["significant"], ieee["significant"])


def keys(value: object) -> set[str]:
    """Return all names that a report's JSON uses, but those that a study brings."""
    found: set[str] = set()
    if isinstance(value, dict):
        for key, item in value.items():
            found.add(key)
            if key not in (
                "settings",
                "environment",
                "scripts",
                "votes",
                "why",
                "precision",
            ):
                found |= keys(item)
    elif isinstance(value, list):
        for item in value:
            found |= keys(item)
    return found


class Trouble(Scratch):
    """Studies that are not as they should be."""

    def test_one_sample(self) -> None:
        studies.layered(self.folder / "s", 1)
        status, out, _ = report("--no-html", self.folder / "s")
        self.assertEqual(status, 1)
        self.assertIn("1 sample: no estimate, at least two are needed", out)

    def test_no_sample(self) -> None:
        studies.MadeStudy(self.folder / "s")
        status, out, _ = report("--no-html", self.folder / "s")
        self.assertEqual(status, 1)
        self.assertIn("0 samples: no estimate", out)

    def test_partial_and_failed(self) -> None:
        made = studies.layered(self.folder / "s", 3, wanted=10)
        made.run("sample-0009", exit_status=1)
        (made.path / ".part-sample-0004").mkdir()
        status, out, _ = report("--no-html", made.path)
        self.assertEqual(status, 0)
        self.assertIn("Partial: 3 of 10 samples so far, the study is not finished", out)
        self.assertIn("1 sample failed", out)
        found = json.loads((made.path / "report.json").read_text())
        self.assertEqual(found["study"]["under_way"], 1)
        self.assertEqual(found["verdict"]["state"], "partial")

    def test_running(self) -> None:
        made = studies.layered(self.folder / "s", 3, wanted=10)
        code = (
            "import fcntl, sys, time\n"
            "file = open(sys.argv[1], 'w')\n"
            "fcntl.flock(file, fcntl.LOCK_EX)\n"
            "print('held', flush=True)\n"
            "sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(made.path / "lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            holder.stdout.readline()
            _, out, _ = report("--no-html", made.path)
            holder.stdin.close()
        self.assertIn("the study is still running", out)

    def test_not_finite_in_some(self) -> None:
        made = studies.MadeStudy(self.folder / "s")
        for k in range(1, 5):
            values = np.full(4, 1 + k * 1e-6, np.float32)
            values[1] = np.nan if k == 2 else 1.0
            made.run(f"sample-{k:04d}", [({}, values)])
        _, out, _ = report("--no-html", made.path)
        self.assertIn("The output Net is not finite in 1 of 4 samples", out)
        self.assertIn("not finite", out)

    def test_ragged_and_missing(self) -> None:
        made = studies.MadeStudy(self.folder / "s")
        for k in range(1, 5):
            tensors = [({"name": "boxes"}, np.ones((k % 2 + 1, 4), np.float32))]
            if k > 1:
                noisy = np.full(3, 1 + k * 1e-6)
                tensors.append(({"name": "late"}, noisy))
            made.run(f"sample-{k:04d}", tensors)
        _, out, _ = report("--no-html", made.path)
        self.assertIn("The shape of boxes depends on the rounding: not compared", out)
        rows = json.loads((made.path / "report.json").read_text())["quantities"]
        self.assertEqual((rows[1]["n"], rows[1]["missing"]), (3, [1]))
        self.assertIn("missing in 1 samples", rows[1]["note"])

    def test_damaged_files_are_named(self) -> None:
        made = studies.layered(self.folder / "s", 4)
        path = made.path / "sample-0002" / "record" / "00001.npy"
        path.write_bytes(path.read_bytes()[:100])
        (made.path / "sample-0003" / "report.json").write_text("{")
        status, out, err = report("--no-html", made.path)
        self.assertEqual(status, 0)
        self.assertIn("00001.npy", err)
        self.assertIn("1 file could not be read", out)

    def test_nothing_perturbed(self) -> None:
        made = studies.layered(self.folder / "s", 3)
        (made.path / "sample-0001" / "report.json").unlink()
        _, out, _ = report("--no-html", made.path)
        self.assertIn("Nothing was perturbed in 1 of 3 samples", out)

    def test_not_deterministic(self) -> None:
        made = studies.layered(self.folder / "s", 3)
        path = made.path / "control-2" / "record" / "00000.npy"
        np.save(path, np.load(path) + 1)
        _, out, _ = report("--no-html", made.path)
        self.assertIn("not deterministic by itself: stem", out)

    def test_folder_that_cannot_be_written(self) -> None:
        made = studies.layered(self.folder / "s", 3)
        (made.path / "report.json.new").mkdir()  # root can write into any folder
        out = io.StringIO()
        with contextlib.redirect_stdout(out), self.assertRaises(FuzzyError) as caught:
            reporting.main(["--no-html", str(made.path)])
        self.assertIn("keeps 11.", out.getvalue(), "the terminal's table comes first")
        self.assertIn("-o", str(caught.exception))
        status, _, _ = report("--no-html", "-o", self.folder / "new", made.path)
        self.assertEqual(status, 0)
        self.assertTrue((self.folder / "new" / "report.json").exists())

    @unittest.skipIf(os.geteuid() == 0, "root can write into any folder")
    def test_read_only_folder(self) -> None:
        made = studies.layered(self.folder / "s", 3)
        made.path.chmod(0o500)
        self.addCleanup(made.path.chmod, 0o700)
        with self.assertRaises(FuzzyError):
            report("--no-html", made.path)

    def test_a_missing_package_is_named_with_its_extra(self) -> None:
        with self.assertRaises(FuzzyError) as caught:
            extras.need("numpy", "no_such_package")
        self.assertIn("no_such_package", str(caught.exception))
        self.assertIn("fuzzytorch[report]", str(caught.exception))
        self.assertNotIn("numpy", str(caught.exception))

    def test_wrong_use(self) -> None:
        for arguments in (
            (),
            ("a", "b"),
            ("--reference", "x", "."),
            ("--nothing", "."),
        ):
            with self.assertRaises(FuzzyError) as caught:
                report(*arguments)
            self.assertEqual(caught.exception.status, 2)


class Terminal(Scratch):
    """The table of the terminal."""

    def test_without_rich(self) -> None:
        studies.layered(self.folder / "s", 5)
        result = analysis.analyse(Study(self.folder / "s"), analysis.Options()).result
        out = io.StringIO()
        out.isatty = lambda: True  # type: ignore[method-assign]
        absent = mock.patch.dict(sys.modules, {"rich": None, "rich.console": None})
        with absent, contextlib.redirect_stdout(out):
            reporting.show(result)
        row = next(r for r in out.getvalue().splitlines() if "encoder.attn  " in r)
        self.assertTrue(row.endswith("<"), row)

    def test_with_rich(self) -> None:
        try:
            import rich  # noqa: F401
        except ImportError:
            self.skipTest("no rich in this Python")
        studies.layered(self.folder / "s", 5)
        result = analysis.analyse(Study(self.folder / "s"), analysis.Options()).result
        out = io.StringIO()
        out.isatty = lambda: True  # type: ignore[method-assign]
        terminal = mock.patch.dict(os.environ, {"COLUMNS": "120", "TERM": "xterm"})
        with contextlib.redirect_stdout(out), terminal:
            os.environ.pop("NO_COLOR", None)
            reporting.show(result)
        self.assertIn("\x1b[", out.getvalue())
        self.assertIn("encoder.attn", out.getvalue())


@unittest.skipUnless(PAGES, "no matplotlib or Jinja2 in this Python")
class Html(Scratch):
    """The page."""

    def page(self) -> str:
        """Return the page of a study that shows all there is."""
        rich_study(self.folder / "s")
        status, _, _ = report(self.folder / "s")
        self.assertEqual(status, 0)
        return (self.folder / "s" / "report.html").read_text()

    def test_opens_without_a_network(self) -> None:
        text = self.page()
        page = Page()
        page.feed(text)
        self.assertEqual((page.fetched, page.bad), ([], []))
        self.assertNotRegex(text, r"url\(\s*[\"']?http|@import")
        self.assertEqual(
            page.sections,
            ["verdict", "coverage", "bits", "labels", "distribution", "curves", "numbers",
             "runs"],
        )  # fmt: skip

    def test_figures_take_the_colours_of_the_page(self) -> None:
        from fuzzytorch import figures

        text = self.page()
        self.assertGreater(text.count("<svg"), 6)
        for colour in figures._COLOURS.values():
            self.assertNotIn(colour, text)
        self.assertIn("var(--accent)", text)
        self.assertNotIn(
            "DejaVu Sans'", re.sub(r"<style>.*?</style>", "", text, 1, re.DOTALL)
        )

    def test_pictures_and_volumes(self) -> None:
        from fuzzytorch import report_maps

        for shape, kind, expected in (
            ((4, 3, 32, 40), "output", (32, 40)),
            ((2, 1, 8, 9, 10), "output", (8, 9, 10)),
            ((64, 10), "output", None),
            ((4, 3, 7, 40), "output", None),
            ((20, 30), "file", (20, 30)),
            ((20, 30, 3), "file", (20, 30, 3)),
            ((20, 30, 25), "file", (20, 30, 25)),
            ((20, 30, 25, 1), "file", (20, 30, 25)),
            ((20,), "file", None),
        ):
            self.assertEqual(report_maps.item_shape(shape, kind), expected)
        volume = np.arange(8 * 9 * 10).reshape(8, 9, 10)
        cuts = report_maps.slices(volume)
        self.assertEqual([c[1].shape for c in cuts], [(9, 10), (8, 10), (8, 9)])
        np.testing.assert_array_equal(cuts[1][1], volume[:, 4])

    def test_noise_of_a_picture(self) -> None:
        from fuzzytorch import report_maps
        from test_measures import wrap

        rng = np.random.default_rng(1)
        values = rng.standard_normal((5, 300))
        mean, variance = report_maps._moments(wrap(values), 100, 50)
        np.testing.assert_allclose(mean, values[:, 100:150].mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(variance, values[:, 100:150].var(axis=0, ddof=1))

    def test_segmentation(self) -> None:
        rng = np.random.default_rng(2)
        made = studies.MadeStudy(self.folder / "s")
        scores = rng.standard_normal((1, 3, 12, 10)).astype(np.float32)
        for k in range(1, 5):
            made.run(f"sample-{k:04d}", [({}, studies.noisy(scores, 0.1, rng))])
        report("--classes", "1", made.path)
        found = json.loads((made.path / "report.json").read_text())["quantities"][0]
        self.assertEqual(found["class_axis"], 1)
        self.assertEqual(found["labels"]["elements"], 120)
        text = (made.path / "report.html").read_text()
        self.assertIn("Entropy of votes of Net", text)
        report(made.path)
        self.assertNotIn("Entropy of votes", (made.path / "report.html").read_text())

    def test_names_are_escaped(self) -> None:
        layers = (("<b>&one", "A<B", 2.0**-20), ("two", "Linear", 2.0**-12))
        studies.layered(self.folder / "s", 4, layers)
        report(self.folder / "s")
        text = (self.folder / "s" / "report.html").read_text()
        self.assertNotIn("<b>&one", text)
        self.assertIn("&lt;b&gt;&amp;one", text)

    def test_only_clear_losses_are_marked(self) -> None:
        studies.layered(self.folder / "s", 10)
        report(self.folder / "s")
        text = (self.folder / "s" / "report.html").read_text()
        self.assertEqual(text.count('class="lossy"'), 2)  # stem and encoder.attn

    def test_troubled_studies_have_a_page(self) -> None:
        studies.MadeStudy(self.folder / "empty")
        self.assertEqual(report(self.folder / "empty")[0], 1)
        made = studies.MadeStudy(self.folder / "odd", 9)
        for k in range(1, 4):
            values = np.full(4, np.nan if k == 2 else 1.0)
            tensors = [({}, values), ({"name": "boxes"}, np.ones(k))]
            tensors += [({"name": "none"}, np.ones((0, 3)))]
            tensors += [
                ({"name": "zero"}, np.zeros(3)),
                ({"name": "z"}, np.array([1 + 2j])),
            ]
            made.run(f"sample-{k:04d}", tensors, f"loss: {'nan' if k == 1 else k}\n")
        self.assertEqual(report(self.folder / "odd")[0], 0)
        self.assertIn("Partial", (self.folder / "odd" / "report.html").read_text())

    @unittest.skipUnless(CHROMIUM, "no chromium here")
    def test_screenshot(self) -> None:
        from PIL import Image

        self.page()
        shots = {}
        for name, scheme in (("light", "1"), ("dark", "0")):
            path = self.folder / f"{name}.png"
            subprocess.run(
                [
                    CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
                    "--hide-scrollbars", f"--user-data-dir={self.folder}/profile",
                    f"--blink-settings=preferredColorScheme={scheme}",
                    "--window-size=1000,4200", f"--screenshot={path}",
                    (self.folder / "s" / "report.html").as_uri(),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=120,
                check=True,
            )  # fmt: skip
            with Image.open(path) as image:
                shots[name] = np.asarray(image.convert("RGB")).astype(int)
        for name, paper in (("light", (252, 252, 250)), ("dark", (21, 23, 26))):
            shot = shots[name]
            if name == "dark" and tuple(shot[2, 2]) == (252, 252, 250):
                continue  # a Chromium that does not take the setting
            self.assertEqual(tuple(shot[2, 2]), paper)
            inked = (np.abs(shot - paper).sum(axis=2) > 60).any(axis=1)
            # Nothing but paper for a quarter of the page would be a section that is missing.
            gaps = np.diff(np.flatnonzero(inked[: int(np.flatnonzero(inked)[-1])]))
            self.assertLess(gaps.max(), 300)
            self.assertGreater(int(np.flatnonzero(inked)[-1]), 2000)
            # Nothing runs over the margins.
            sides = np.concatenate([shot[:, :8], shot[:, -8:]], axis=1)
            self.assertLess(np.abs(sides - paper).sum(), 1)


if __name__ == "__main__":
    unittest.main()
