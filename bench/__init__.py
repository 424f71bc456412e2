"""Figures, as ratios against a bare script of the same SDK in the same run: `make bench`."""
