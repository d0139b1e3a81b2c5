"""Search for architectures: who proposes candidates, what is wanted of them, and an archive."""
