"""A trained model taken apart, one analysis a module: each gives numbers for a JSON file and a figure of them.

- ``histograms``: gamma and beta by block; ``embedding``: their neighbourhoods and t-SNE by question type.
- ``resets``: what is lost without the values that gamma or beta have for a question, and with noise on them.
- ``consistency``: whether answers agree with each other; ``composition``: questions made by sums of other ones.
"""
