"""The record: files that only grow, each with one module that writes and reads it."""
