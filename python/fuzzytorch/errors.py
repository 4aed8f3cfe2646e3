"""The one exception that ends fuzzyrun with a single line and an exit status.

SPDX-License-Identifier: Apache-2.0
"""


class FuzzyError(Exception):
    """What went wrong and what to do, in one line.

    Parameters
    ----------
    message : str
        The wrong value, and what to do about it.
    status : int
        Exit status of the program: 2 for wrong use, 1 for what failed while it ran, 126
        and 127 as in a shell.
    """

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status
