"""The root of every error that a person, rather than a programmer, has to fix."""


class RecommenderError(Exception):
    """Something is wrong outside the program: a setting, a file, a broker.

    The message is one or two sentences that name the thing, its value and what was expected. The
    command line prints it without a traceback and exits with code 2.
    """


class SourceError(RecommenderError):
    """A file of ratings cannot be found, fetched or read; the text names it and says what is wrong."""
