"""The load of devices."""

from __future__ import annotations

from widgets_support import Stage, lines

from rmtui.app.widgets.device_load import Device, DeviceLoad


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


async def test_without_devices_no_room_is_taken():
    load = DeviceLoad()
    load.can_focus = True
    async with Stage(load).run_test(size=(80, 10)) as pilot:
        load.show([Device("CPU", 0.5, 4e9, 16e9)])
        await pilot.pause()
        assert load.size.height == 1
        load.show([])
        await pilot.pause()
        assert not load.display
