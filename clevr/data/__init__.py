"""CLEVR's files: found, read, checked and written."""
