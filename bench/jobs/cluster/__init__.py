"""Jobs on a Dask cluster: find its workers and train runs on them."""
