"""Find the brain in an MRI volume: deepbet's two U-Nets on the MNI152 T1 average.

SPDX-License-Identifier: Apache-2.0

A stock PyTorch program. It prints the volume of the brain and how much processor time the
extraction took, and writes mask and probabilities where it is told.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch


def template() -> Path:
    """Return the T1 volume that nilearn ships (its code is not imported)."""
    found = find_spec("nilearn")
    if found is None or found.origin is None:
        sys.exit(
            "the volume comes with nilearn: pip install -r examples/requirements.txt"
        )
    data = Path(found.origin).parent / "datasets" / "data"
    return data / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def extraction(box: list[int] | None = None) -> type:
    """Return deepbet's class, with the probabilities kept that it thresholds.

    Parameters
    ----------
    box : list of int, optional
        First and last of each axis: what the second network sees, whatever the first says.
    """
    from deepbet import BrainExtraction

    class Kept(BrainExtraction):
        def get_bbox_with_margin(self, *given: object) -> tuple[slice, ...]:
            found = super().get_bbox_with_margin(*given)
            return (
                found
                if box is None
                else tuple(slice(*box[k : k + 2], 1) for k in range(0, len(box), 2))
            )

        def run_model(
            self, x: np.ndarray, *rest: object, **named: object
        ) -> np.ndarray:
            self.probabilities = super().run_model(x, *rest, **named)
            return self.probabilities.copy()

    return Kept


def main() -> None:
    """Load, extract, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume", nargs="?", help="NIfTI; nilearn's MNI152 without it")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument(
        "--save",
        metavar="FOLDER",
        default=os.environ.get("FUZZY_SAMPLE_DIR"),
        help="write mask.npy and probability.npy here",
    )
    parser.add_argument(
        "--box",
        type=int,
        nargs=6,
        help="first and last of each axis: leave the first network's",
    )
    options = parser.parse_args()
    import nibabel

    if options.threads:
        torch.set_num_threads(options.threads)
    image = nibabel.load(options.volume or template())
    bet = extraction(options.box)(no_gpu=True)
    begin = time.process_time(), time.monotonic()
    _, mask, volume = bet.run(image)
    spent = time.process_time() - begin[0], time.monotonic() - begin[1]
    print(f"brain volume: {volume:.9g} ml")
    print(f"work: {spent[0]:.3f} s processor, {spent[1]:.3f} s wall", file=sys.stderr)
    if options.save:
        folder = Path(options.save)
        np.save(folder / "mask.npy", np.asanyarray(mask.dataobj).astype(np.uint8))
        np.save(folder / "probability.npy", bet.probabilities)
        np.save(folder / "box.npy", [[s.start, s.stop] for s in bet.bbox])


if __name__ == "__main__":
    main()
