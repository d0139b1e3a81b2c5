"""How long networks take on this machine, from how long their parts do."""
