"""Scripts that write documentation pages: python -m docs.make.NAME, from the root of the checkout.

models_page.py      docs/models.md: parameters of every preset, names of the weights
tiling_page.py      docs/tiling.md: how far tiles are from the untiled result
bundled_results.py  docs/results/bundled.{md,json,jpg}: the model that ships on held-out faces
bundled_page.py     the text of that page
bundled_card.py     the model card of the weights that ship
theory_page.py      the text and figure of docs/results/theory.md, which docs/make/theory.py measures
photographs_page.py docs/results/photographs.md: whole photographs, measured inside their faces
reproduction_page.py  docs/reproduction.md: settings of paper, release and recipes; reproduction_rows.txt has the rows
costs.py            the part of that page on parameters and operations a step
weight_names.py     names of weights in a short form
"""
