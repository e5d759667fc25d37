"""The Python code of a network's file as text and syntax tree. Nothing here executes it."""
