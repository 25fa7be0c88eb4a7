"""The commands of `python -m mmdg_lite`, a file for each group of `--help`; each calls a public function."""
