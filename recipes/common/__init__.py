"""What the recipes share.

stages.py      what is trained, as frozen configurations that hold what they build on
sizes.py       the scales: 'paper', 'small', 'debug'
fitting.py     trained(): a stage's network, trained once and found again
ends.py        both ends of a flow, for training and for restoring alike
evaluation.py  scores of reconstructions and of restorations
tables.py      rows, seeds, claims: a table of the paper as a whole
page.py        its page in docs/results
curves.py      convergence curves and the speed-up read off them
launch.py      the command lines
"""
