"""Where tasks run: threads of this process, or Dask workers; independent of what tasks do."""
