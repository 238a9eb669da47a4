"""Speed and accuracy, measured beside peers; see README.md in this folder."""
