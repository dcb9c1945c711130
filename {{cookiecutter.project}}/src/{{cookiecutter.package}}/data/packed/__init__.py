"""Images in chunks of many megabytes, on a disk or in an object store: what a data set is beyond one machine."""
