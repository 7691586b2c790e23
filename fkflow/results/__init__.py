"""Results of runs and scans, and their files.

`result` and `records` are the plain data of a run, `scan_records` (with `scan_tables`) of a scan; `store` (with `writer`,
`reader`, `layout` and `hdf5`) has result.h5, `scan_store` scan.h5, `checkpoints` the state of an unfinished training. `paths`
has the names of files, `locks` and `folders` guard run folders and write atomically, `checksum` and `provenance` are parts of
files. `summary`, `comparison` and `report` are the texts of the commands.
Other packages import these modules by name, so that a run folder is prepared without h5py and a result is shown without torch.
"""
