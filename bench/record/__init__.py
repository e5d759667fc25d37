"""The record: files that only grow. Each file has one module that writes and reads it."""
