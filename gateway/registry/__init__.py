"""The registry as a process holds it.

`seed` reads the models of a fresh install · `live` holds the state in force, renewed when it changes in the store.
"""
