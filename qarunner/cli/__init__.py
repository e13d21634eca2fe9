"""The command line: the only place that reads the environment, and the only one that talks to a person."""
