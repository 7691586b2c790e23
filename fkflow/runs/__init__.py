"""One run from recipe to result, a rerun, a scan of many runs, a film of one."""
