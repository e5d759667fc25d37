"""The kernels: what numba compiles. Arrays go in and come out; nothing here knows a network."""
