"""Functions under the names and with the semantics of other libraries, and helpers to use them."""
