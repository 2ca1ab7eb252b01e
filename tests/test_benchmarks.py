"""The benchmark's own pure functions: who runs when, what is a ratio, what the table says."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(FOLDER))

import commands  # noqa: E402
import drawing  # noqa: E402
import report  # noqa: E402
import timing  # noqa: E402
from report import Bar, Row  # noqa: E402


def test_every_contestant_runs_once_a_round_and_the_order_rotates() -> None:
    ran: list[str] = []
    entrants = [timing.Contestant(name, lambda _, name=name: ran.append(name)) for name in "abc"]
    times = timing.race(entrants, 2)
    assert "".join(ran) == "abcbcacab"
    assert {name: len(spent) for name, spent in times.items()} == {"a": 2, "b": 2, "c": 2}


def test_given_and_result_go_to_check_once_and_to_after_every_time() -> None:
    seen: list[tuple[str, int, int]] = []
    entrant = timing.Contestant(
        "a",
        lambda given: given + 1,
        before=lambda: 41,
        check=lambda given, result: seen.append(("check", given, result)),
        after=lambda given, result: seen.append(("after", given, result)),
    )
    timing.race([entrant], 2)
    assert seen == [("check", 41, 42), *[("after", 41, 42)] * 3]
    seen.clear()
    assert len(timing.race([entrant], 1, warm=False)["a"]) == 1
    assert seen == [("check", 41, 42), ("after", 41, 42)]


def test_speeds() -> None:
    assert timing.speeds({"a": [0.5, 2.0]}, 10**9) == {"a": [2.0, 0.5]}
    assert timing.milliseconds({"a": [0.5]}) == {"a": [500.0]}


def test_ratios_are_of_rounds() -> None:
    assert report.ratios([2.0, 8.0], [1.0, 2.0]) == [2.0, 4.0]
    with pytest.raises(ValueError):
        report.ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0, 3, "0"), (1234.5, 3, "1,234"), (66.506, 4, "66.51"), (0.998765, 4, "0.9988"), (2.046, 3, "2.05")],
)
def test_numbers(value: float, digits: int, text: str) -> None:
    assert report.number(value, digits) == text


def test_lines_and_bars() -> None:
    row = Row(
        "load",
        "load it",
        "GB/s",
        {"ptformat": [2.0, 4.0, 6.0], "fast": [4.0, 4.0, 4.0], "slow": [1.0, 1.0, 1.0]},
        (Bar("≥", 1.0, "fast"), Bar("≥", 3.0, "slow"), Bar("≥", 5.0)),
    )
    figure = "4.00 (2.00–6.00) GB/s"
    assert report.lines(row) == [
        (figure, "–", "–", "–", "≥ 5 GB/s", "**no**"),
        (figure, "fast", "4.00", "1.00 (0.500–1.50)", "≥ 1", "yes"),
        (figure, "slow", "1.00", "4.00 (2.00–6.00)", "≥ 3", "yes"),
    ]
    assert report.unmet([row]) == ["load it: 4.000 GB/s, the bar is ≥ 5 GB/s"]
    assert [report.as_row(data) for data in report.as_json([row])] == [row]
    assert "| load it | 4.00 (2.00–6.00) GB/s | – |" in report.table([row])


def test_the_table_goes_between_its_markers_and_nowhere_else() -> None:
    text = f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n"
    assert report.put_between(text, "new\n") == f"above\n{report.BEGIN}\n\nnew\n\n{report.END}\nbelow\n"
    with pytest.raises(ValueError, match="no <!-- the last run"):
        report.put_between("above\n", "new")
    assert report.put_between((FOLDER / "README.md").read_text(encoding="utf-8"), "new")


def test_slopes_are_of_logarithms() -> None:
    assert drawing.slope([(10, 1e-3), (100, 1e-2), (1000, 1e-1)]) == pytest.approx(1)
    assert drawing.slope([(10, 2.0), (1000, 2e4)]) == pytest.approx(2)


def test_a_drawing_has_each_line_within_whole_powers_of_ten() -> None:
    drawn = drawing.svg("t & u", "n", {"a": [(10, 2e-3), (1000, 2e-1)], "b": [(10, 1e-3)]}, dashed=["b"])
    root = ElementTree.fromstring(drawn)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["t & u", "n", "10", "100", "1k", "1 ms", "10 ms", "100 ms", "1 s", "a", "b"]
    circles = [(c.get("cx"), c.get("cy")) for c in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(circles) == 3
    assert circles[2] == (f"{drawing.LEFT:.1f}", f"{drawing.HEIGHT - drawing.BOTTOM:.1f}")


def test_the_memory_of_a_command_is_seen() -> None:
    done = commands.run([sys.executable, "-c", "import time; held = b'x' * (64 << 20); time.sleep(0.1)"])
    assert 64 << 20 < done.anonymous < done.resident < 128 << 20
    assert done.seconds > 0.1
    with pytest.raises(RuntimeError, match="wrong"):
        commands.run([sys.executable, "-c", "import sys; sys.exit('wrong')"])
