"""The description of a network: its code, its recipe, its structure and the claims about it."""
