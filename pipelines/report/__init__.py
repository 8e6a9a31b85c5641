"""A run, an experiment or a search as one self-contained HTML page: `hmar report`.

    opened_run -> answers, behavior_head, one_user -> sections -> page
    drawing -> pictures -------------------------->

The modules that compute numbers know nothing of pages; a section turns their numbers into the
`elements` that `page` renders.
"""
