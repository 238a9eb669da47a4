"""Format-aware mutations, which get past checksums and into the decoders.

`CHANGES` has for each kind of file a function of a random generator and the file's bytes.
"""

from fuzz.formats import jpeg, json_text, npy, png, tiff, xml, zips

CHANGES = {
    "jpeg": jpeg.changed,
    "json": json_text.changed,
    "npy": npy.changed,
    "png": png.changed,
    "tiff": tiff.changed,
    "xml": xml.changed,
    "zip": zips.changed,
}
