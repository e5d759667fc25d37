"""Compare two records: did convergence change?"""
