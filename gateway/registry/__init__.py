"""The registry as a process holds it.

`entries` and `seed` read models from files · `checks` says what is wrong with one · `editor` changes the registry ·
`live` holds the state in force, renewed when it changes in the store.
"""
