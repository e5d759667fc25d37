"""Evidence: turn recorded numbers into conclusions. Every module is pure and needs no torch."""
