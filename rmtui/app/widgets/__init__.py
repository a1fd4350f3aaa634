"""Widgets: they take plain facts and callables, and never know the index.

RunTable(source)        run_table.py   rows of a windowed source; Moved, Opened, Marked messages
Chart(title)            chart.py       show(curves, band); View shared between charts; CursorMoved, ViewChanged
LogView()               log_view.py    open(index); poll(); follow, search, filter
Form()                  form.py        load(values, file=…, others=…); Changed, problems(), texts()
ProgressLine, KeyFigures, DeviceLoad, AdviceList   small ones
"""
