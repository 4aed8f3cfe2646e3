"""Make the speech of this study: sentences read by espeak-ng in several voices, as wav files.

SPDX-License-Identifier: Apache-2.0

    python examples/speech/voices.py FOLDER
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: Voices of espeak-ng with its variants: languages and larynxes that differ.
VOICES = {
    "anna": "en-us+f2",
    "bob": "en-us+m1",
    "carl": "en-gb-scotland+m7",
    "dora": "en-gb-x-rp+f4",
    "emil": "en-029+m5",
    "fay": "en-gb-x-gbclan+f5",
}
SENTENCES = (
    (
        "The north wind and the sun were disputing which was the stronger, when a "
        "traveller came along wrapped in a warm cloak."
    ),
    (
        "When the sunlight strikes raindrops in the air, they act as a prism and form a "
        "rainbow across the whole sky."
    ),
    "Please call Stella, and ask her to bring these things with her from the store.",
)


def make(folder: Path) -> list[Path]:
    """Write VOICE-K.wav for each voice and sentence; return the files in order.

    Parameters
    ----------
    folder : pathlib.Path
        Is made where it is not there. Files that are there are kept.
    """
    espeak = shutil.which("espeak-ng")
    if espeak is None:
        sys.exit("espeak-ng is not installed: apt-get install espeak-ng")
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, voice in VOICES.items():
        for k, sentence in enumerate(SENTENCES):
            file = folder / f"{name}-{k}.wav"
            if not file.exists():
                subprocess.run(
                    [espeak, "-v", voice, "-s", "150", "-w", str(file), sentence],
                    # Plain speech, whatever the program that asks for it is run under.
                    env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"},
                    check=True,
                )
            files.append(file)
    return files


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: voices.py FOLDER")
    for made in make(Path(sys.argv[1])):
        print(made)
