"""How changes survive: the journal."""
