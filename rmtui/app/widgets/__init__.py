"""Widgets: they take plain facts and callables, and never know the index.

RunTable(source)  table/run_table.py  rows of a windowed source; Moved, Opened, Marked
Chart(title)      chart/chart.py      show(curves, band); a View shared between charts; ViewChanged, LogWanted
LogView()         log/view.py         open(index); follow, search, filter; SearchDone, StepWanted
Form()            form/form.py        load(texts, references); texts(), problems(), changes(); Changed, Focused
DeviceLoad()      device_load.py      processors and GPUs, a line each
"""
