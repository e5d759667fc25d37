"""The command line. It reads the arguments, runs a command, prints the results and returns an exit code."""
