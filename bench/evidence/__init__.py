"""Evidence: it turns recorded numbers into conclusions. Every module is pure and needs no torch."""
