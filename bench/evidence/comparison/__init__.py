"""Two records compared: did convergence change?"""
