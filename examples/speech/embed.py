"""Embed the voices of a folder with Resemblyzer and compare all pairs: who speaks?

SPDX-License-Identifier: Apache-2.0

A stock PyTorch program. A pair is taken for one speaker if the cosine of its embeddings is
above a threshold.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from voices import make

#: High, since synthetic voices are alike.
THRESHOLD = 0.92


def main() -> None:
    """Load, embed, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", help="of wav files (default: made by voices.py)"
    )
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    parser.add_argument(
        "--save",
        metavar="FOLDER",
        default=os.environ.get("FUZZY_SAMPLE_DIR"),
        help="write embeddings.npy, cosines.npy and same.npy here",
    )
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    from resemblyzer import VoiceEncoder, preprocess_wav

    with tempfile.TemporaryDirectory(prefix="voices-") as scratch:
        if options.folder is None:
            make(Path(scratch))
        files = sorted((options.folder or Path(scratch)).glob("*.wav"))
        if len(files) < 2:
            sys.exit(f"{options.folder}: {len(files)} wav files: run voices.py first")
        waves = [preprocess_wav(file) for file in files]
    encoder = VoiceEncoder("cpu", verbose=False)
    # Spectrograms are NumPy's; made once before, librosa has compiled what it needs.
    encoder.embed_utterance(waves[0])
    begin = time.process_time()
    embeddings = np.stack([encoder.embed_utterance(wave) for wave in waves])
    spent = time.process_time() - begin
    vectors = torch.from_numpy(embeddings)
    cosines = torch.nn.functional.cosine_similarity(
        vectors[:, None], vectors[None, :], dim=2
    ).numpy()
    upper = np.triu_indices(len(files), 1)
    pairs = cosines[upper]
    names = [file.stem.rsplit("-", 1)[0] for file in files]
    same = np.array([names[i] == names[j] for i, j in zip(*upper)])
    found = pairs > options.threshold
    print(f"utterances: {len(files)} of {len(set(names))} voices")
    print(f"mean cosine, one voice: {pairs[same].mean():.9g}")
    print(f"mean cosine, two voices: {pairs[~same].mean():.9g}")
    nearest = np.abs(pairs - options.threshold).argmin()
    i, j = (files[k[nearest]].stem for k in upper)
    print(f"nearest to the threshold, {i} and {j}: {pairs[nearest]:.9g}")
    print(f"missed pairs: {int((same & ~found).sum())} of {int(same.sum())}")
    print(f"false pairs: {int((~same & found).sum())} of {int((~same).sum())}")
    print(f"work: {spent:.3f} s processor", file=sys.stderr)
    if options.save:
        folder = Path(options.save)
        np.save(folder / "embeddings.npy", embeddings)
        np.save(folder / "cosines.npy", pairs)
        np.save(folder / "same.npy", found)


if __name__ == "__main__":
    main()
