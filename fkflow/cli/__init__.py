"""The command ``fkflow``.

`entry.main` runs it and turns errors into one line and an exit code. `commands` lists the commands, which are functions in
`compute`, `recipes`, `reports` and `pictures`; `options` has the options that they share. What is slow to import is imported
inside the commands.
"""
