"""From a command line to a config, a folder and an exit code; imports nothing heavy."""
