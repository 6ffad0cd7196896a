# SPDX-License-Identifier: MIT
"""Tables, figures and sentences, from the rows of all evaluations of a study."""
