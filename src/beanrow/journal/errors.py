"""Why a journal cannot be used."""


class JournalError(Exception):
    """One line for whoever starts a server: what is wrong with the directory, and what to do.

    Which directory that is says whoever has chosen it.
    """
