"""Jobs on a Dask cluster: its workers, and the runs they get."""
