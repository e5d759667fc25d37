"""What the inspection of a network tries: what a pass leaves behind, and what its first weights depend on."""
