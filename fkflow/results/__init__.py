"""Records of a run and the files that hold them: HDF5, checkpoints, folders, summaries."""
