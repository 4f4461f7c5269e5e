"""Error for the person at the keyboard."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a column, an option, a value.

    The message is complete in itself: it names the file, row, column or option, says what was expected, and what
    to do about it. The command line prints it without a traceback and exits with status 2.

    >>> from prerec_pyro import InputError, PreRec
    >>> try:
    ...     PreRec(graph="papre")
    ... except InputError as error:
    ...     print(error)
    graph 'papre': expected one of paper, extended, unconfounded, or a class of your own
    """
