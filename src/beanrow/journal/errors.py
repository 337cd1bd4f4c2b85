"""Why a journal cannot be used."""


class JournalError(Exception):
    """One line for whoever starts a server: which directory, what is wrong, what to do."""
