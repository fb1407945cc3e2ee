"""The engine of the recipes: what is trained, measured and written down.

provenance.py  what a trained model came from
"""
