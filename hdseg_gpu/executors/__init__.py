"""Where tasks run: threads of this process, or Dask's workers. What they do is not known here."""
