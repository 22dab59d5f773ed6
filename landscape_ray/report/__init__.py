"""From a results folder to scores and figures.

`results` reads the folder, `scores` computes and writes the numbers, `figures` draws. They are imported one by one:
who only wants numbers need not load matplotlib.
"""
