"""What the loop reports is what was computed: figures, files, order."""

from engine_worlds import quick_end, train


def test_it_runs(bench, tmp_path):
    world = train(tmp_path, bench.options(), patch=quick_end)
    assert world.codes == [0], world.log()
    two = train(tmp_path / "two", bench.options(), ranks=2, patch=quick_end)
    assert two.codes == [0, 0], two.log()
