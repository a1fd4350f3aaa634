"""Key figures and the load of devices."""

from __future__ import annotations

from widgets_support import Stage, lines, page

from rmtui.app.widgets.device_load import Device, DeviceLoad, read_devices
from rmtui.app.widgets.key_figures import Figure, KeyFigures


async def test_devices_stand_a_line_each_and_say_what_they_know():
    load = DeviceLoad()
    load.can_focus = True
    async with Stage(load).run_test(size=(80, 10)) as pilot:
        load.show(
            [Device("CPU", 0.5, 4e9, 16e9), Device("GPU 0", 0.99, 70e9, 80e9, 91.0), Device("GPU 1", None, None, None)]
        )
        await pilot.pause()
        cpu, first, second = lines(load)[:3]
        assert "CPU" in cpu and "▮▮▮▮▯▯▯▯" in cpu and "50 %" in cpu and "3.7 GB of 14.9 GB" in cpu
        assert "99 %" in first and "91 °C" in first
        assert "GPU 1" in second and "–" in second and "GB" not in second


def test_this_machine_can_be_read():
    cpu = read_devices()[0]
    assert cpu.name == "CPU" and 0 < cpu.used < cpu.total


async def test_figures_fill_columns_downwards_and_align():
    figures = KeyFigures(rows=2)
    figures.can_focus = True
    async with Stage(figures).run_test(size=(80, 6)) as pilot:
        figures.show(
            [Figure("learning rate", "1.5e-5"), Figure("gradient norm", "0.93"), Figure("speed", "11.2", "pairs/s")]
        )
        await pilot.pause()
        first, second = lines(figures)[:2]
        assert "learning rate" in first and "11.2 pairs/s" in first and "gradient norm" in second
        assert first.index("1.5e-5") + 1 == second.index("0.93") + 1
        assert "pairs/s" not in second and page(figures).count("speed") == 1
