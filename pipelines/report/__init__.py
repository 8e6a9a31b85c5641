"""A run or an experiment as one HTML page that opens anywhere: `hmar report`.

    opened_run -> answers, behavior_head, attention, one_user -> sections -> page
    drawing -> pictures ------------------------------------->

What is counted knows nothing of pages; a section turns it into the `elements` that `page` renders.
"""
