"""The one kind of error that is the user's to mend."""


class UserError(ValueError):
    """A mistake told in one sentence: what came, what was expected, what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    """
