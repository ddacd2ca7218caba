"""How each library fits and samples. A module has two functions, and imports all that it needs when it is imported:

`fit(task) -> (model, facts)` learns `task.data`; facts are numbers worth noting, such as epochs.
`sample(model, n, seed)` makes n rows, a DataFrame, or n images, `Pictures`.

Only `own` may import synthgen: the others run in environments that do not have it.
"""
