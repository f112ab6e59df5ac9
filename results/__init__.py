"""Claims of the literature measured again, by the examples at full size: `python -m results`, or `make results`."""
