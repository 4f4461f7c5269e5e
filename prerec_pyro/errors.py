"""The one error that is meant for the person at the keyboard."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a column, an option, a value.

    The message is complete in itself: it names the file, row, column or option, says what was expected, and what
    to do about it. The command line prints it without a traceback and exits with status 2.
    """
