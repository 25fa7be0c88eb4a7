"""Converted real data sets: the benchmark's lists, manifests, attack species, stored samples and their quality."""
