"""The names of the files in which Zarr stores metadata, of both its versions."""

NODES = ("zarr.json", ".zarray", ".zgroup")  # every array and every group has one of them
ATTRIBUTES = ("zarr.json", ".zattrs")  # with the attributes of an array or group
METADATA = (*NODES, ".zattrs", ".zmetadata")
