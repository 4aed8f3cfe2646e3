"""Measures of labels, against counts by hand and plain definitions.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math
import unittest
from collections import Counter

import numpy as np
import support  # noqa: F401  (makes the package importable)
from fuzzytorch import measures_labels as ml
from test_measures import wrap


def plain_dice(a: np.ndarray, b: np.ndarray, label: int) -> float:
    """Return Dice by its definition."""
    x, y = a == label, b == label
    return 2 * (x & y).sum() / (x.sum() + y.sum())


class Dice(unittest.TestCase):
    """Dice and Jaccard, pairwise and against a reference."""

    def test_by_hand(self) -> None:
        maps = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]])
        found = ml.categorical(wrap(maps), np.array([0, 1]), wrap(maps[:1])[0])
        zero, one = found["by_label"]
        # Pairs of label 1: 2*2/5, 1, 2*2/5.
        self.assertAlmostEqual(one["dice"]["mean"], (0.8 + 1 + 0.8) / 3)
        self.assertAlmostEqual(one["dice"]["min"], 0.8)
        self.assertAlmostEqual(one["jaccard_min"], 2 / 3)
        self.assertAlmostEqual(zero["dice"]["min"], 2 / 3)
        self.assertAlmostEqual(one["dice_reference"]["mean"], (1 + 0.8 + 1) / 3)
        self.assertEqual((found["unanimous"], found["all_equal"]), (3, False))

    def test_definition(self) -> None:
        rng = np.random.default_rng(1)
        for n in (3, 10, 30):
            truth = rng.integers(-2, 3, 500)
            maps = np.where(
                rng.random((n, 500)) < 0.1, rng.integers(-2, 3, (n, 500)), truth
            )
            labels = ml.labels_of(wrap(maps))
            np.testing.assert_array_equal(labels, np.arange(-2, 3))
            found = ml.categorical(wrap(maps), labels, wrap(truth[None])[0])
            for entry in found["by_label"]:
                pairs = [
                    plain_dice(maps[i], maps[j], entry["label"])
                    for i in range(n)
                    for j in range(i)
                ]
                self.assertAlmostEqual(entry["dice"]["mean"], np.mean(pairs), 9)
                self.assertAlmostEqual(entry["dice"]["min"], np.min(pairs), 9)
                self.assertLessEqual(entry["dice"]["low"], np.mean(pairs))
                against = [plain_dice(m, truth, entry["label"]) for m in maps]
                self.assertAlmostEqual(
                    entry["dice_reference"]["mean"], np.mean(against)
                )

    def test_pieces_do_not_matter(self) -> None:
        rng = np.random.default_rng(2)
        maps = rng.integers(0, 3, (4, 3000)).astype(np.uint8)
        labels = ml.labels_of(wrap(maps))
        whole = ml.categorical(wrap(maps), labels)
        old, ml._PIECE = ml._PIECE, 4 * 256
        try:
            self.assertEqual(ml.categorical(wrap(maps), labels)["by_label"],
                             whole["by_label"])  # fmt: skip
        finally:
            ml._PIECE = old

    def test_all_equal(self) -> None:
        found = ml.categorical(wrap(np.full((5, 7), 3)), np.array([3]))
        self.assertTrue(found["all_equal"])
        self.assertEqual(found["by_label"][0]["dice"]["min"], 1)
        self.assertAlmostEqual(found["proves"], 0.05 ** (1 / 5))
        self.assertEqual(found["entropy"]["mean"], 0)

    def test_numbers_are_not_labels(self) -> None:
        self.assertIsNone(ml.labels_of(wrap(np.arange(1000)[None])))
        self.assertIsNone(ml.labels_of(wrap(np.array([[0, 1 << 40]]))))
        self.assertIsNone(ml.labels_of(wrap(np.array([[0.5]]))))
        self.assertIsNotNone(ml.labels_of(wrap(np.array([[True, False]]))))


class Entropy(unittest.TestCase):
    """Entropy of votes."""

    def test_definition(self) -> None:
        rng = np.random.default_rng(3)
        for n in (3, 7, 20):
            votes = rng.integers(0, 4, (n, 40))
            plain, corrected = ml.vote_entropy(votes)
            for e in range(40):
                counts = list(Counter(votes[:, e].tolist()).values())
                shares = np.array(counts) / n
                expected = -(shares * np.log2(shares)).sum()
                self.assertAlmostEqual(plain[e], expected)
                more = (len(counts) - 1) / (2 * n * math.log(2))
                self.assertAlmostEqual(corrected[e], expected + more)

    def test_jackknife_of_a_mean_is_students_interval(self) -> None:
        values = np.random.default_rng(4).standard_normal(9)
        without = [(values.sum() - v) / 8 for v in values]
        np.testing.assert_allclose(
            ml.jackknife(values.mean(), without), ml.student(values), rtol=1e-9
        )


class Top(unittest.TestCase):
    """The top class of scores."""

    def test_axes(self) -> None:
        scores = np.random.default_rng(5).standard_normal((2, 3, 4, 5))
        for axis in range(4):
            top = ml.TopClass(wrap(scores[None])[0], axis)
            expected = scores.argmax(axis=axis)
            self.assertEqual(top.shape, expected.shape)
            for start, stop in ((0, top.size), (1, 7), (3, 4), (5, 999)):
                np.testing.assert_array_equal(
                    top.piece(start, stop), expected.reshape(-1)[start:stop]
                )

    def test_class_axis(self) -> None:
        self.assertEqual(ml.class_axis((8, 10)), 1)
        self.assertIsNone(ml.class_axis((8, 1)))
        self.assertIsNone(ml.class_axis((8, 3, 4, 4)))
        self.assertEqual(ml.class_axis((8, 3, 4, 4), 1), 1)
        self.assertEqual(ml.class_axis((8, 3), -1), 1)
        self.assertIsNone(ml.class_axis((), -1))

    def test_flips(self) -> None:
        scores = np.zeros((4, 3, 2))
        scores[:, :, 0] = 1.0
        scores[:, 2, 1] = [
            0.5,
            1.5,
            0.5,
            0.7,
        ]  # item 2 flips once: margin .2 on average
        tops = [ml.TopClass(a, 1) for a in wrap(scores)]
        found = ml.flips(tops, tops[0])
        self.assertEqual((found["items"], found["flipped"]), (3, 1))
        item = found["largest_margins"][0]
        self.assertEqual((item["item"], item["votes"]), (2, {0: 3, 1: 1}))
        self.assertAlmostEqual(item["margin"], 0.2)
        self.assertAlmostEqual(item["margin_sd"], np.std([0.5, -0.5, 0.5, 0.3], ddof=1))
        self.assertAlmostEqual(found["against_reference"]["mean"], 1 / 12)


if __name__ == "__main__":
    unittest.main()
