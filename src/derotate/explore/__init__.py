# SPDX-License-Identifier: MIT
"""Look before you train: a page about a trained pair of checkpoints, with one surgery done live.

`pair` says what is shipped, `export` makes it from a finished study, `live` operates, `page` writes
the HTML file, `show` joins them for the command line.
"""
