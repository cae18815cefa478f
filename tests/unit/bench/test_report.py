from bench.__main__ import Target, summary
from bench.report import Table, markdown, plain

TABLE = Table("Times", ("", "p50", "note"), [["direct", "0.05", "a"], ["ours", "12.30", "bc"]], ("in ms",))


def test_a_plain_table_puts_numbers_to_the_right():
    assert plain(TABLE).splitlines() == [
        "Times",
        "            p50  note",
        "  ──────  ─────  ────",
        "  direct   0.05  a",
        "  ours    12.30  bc",
        "  in ms",
    ]


def test_a_markdown_table_can_be_pasted():
    assert markdown(TABLE).splitlines() == [
        "**Times**",
        "",
        "|  | p50 | note |",
        "|---|--:|---|",
        "| direct | 0.05 | a |",
        "| ours | 12.30 | bc |",
        "",
        "in ms  ",
    ]


def test_a_target_is_met_up_to_its_bound():
    target = Target("overhead", "x", 3, "ms")
    assert target.judge({"x": 3.0}) == ["overhead", "≤ 3 ms", "3.00 ms", "yes"]
    assert target.judge({"x": 3.1})[-1] == "NO"


def test_a_floor_must_be_reached():
    target = Target("requests", "x", 70, "/s", floor=True)
    assert target.judge({"x": 70.0})[-1] == "yes"
    assert target.judge({"x": 69.0})[-1] == "NO"


def test_what_was_not_measured_is_not_said_to_be_met():
    assert Target("growth", "x", 10, "MiB").judge({})[2:] == ["not measured", "–"]


def test_the_summary_adds_up_errors_and_missing_rows_of_all_programs():
    targets = (Target("errors", "all.errors", 0, ""), Target("missing", "all.missing", 0, ""))
    facts = {"jobs.errors": 1.0, "overhead.direct.errors": 2.0, "throughput.overlapped.16.missing": 0.0}
    assert [row[2:] for row in summary(facts, targets).rows] == [["3.00", "NO"], ["0.00", "yes"]]
