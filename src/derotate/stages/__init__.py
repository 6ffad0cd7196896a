# SPDX-License-Identifier: MIT
"""One module a stage of the study: from files and settings to files, what a rule's script calls.

Stages join the task to training, evaluation and spectra. None of them imports the config at run
time: they get the slice they use, so that a new config key does not invalidate what was trained.
"""
