"""The command line: it turns words into calls, and results into lines and exit codes."""
