"""The bench: synthgen's models and their peers on the same data, judged by one implementation.

methods.py    what is trained, as data; fitting/ holds how, one file a library
datasets.py   what it is trained on
trial.py      one method on one data set with one seed, in a process of its own (child.py)
judge_tables.py, judge_images.py   every figure, from the synthetic data alone
record.py     rows of a committed JSON file; bench.py fills in those that are missing
compare.py    "no worse", as an interval over seeds; pages.py   Markdown and plots from the rows
"""
