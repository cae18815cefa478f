"""The program that measures live facts runs, and counts what it says it counts."""

from bench.live import Shape, measure


async def test_a_short_measurement_finds_all_parts_and_knows_all_models():
    report = await measure(Shape(rate=10, replicas=2, models=3, callers=5, seconds=4), "")
    (table,) = report.tables
    parts = [float(row[1]) for row in table.rows]
    assert len(parts) == 4
    assert all(part > 0 for part in parts)
    assert "3 models and 5 callers known" in table.notes[0]
    assert report.facts["live.us"] > 0
