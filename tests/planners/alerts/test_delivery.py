"""Each alert is told once, and so is its end, whatever is restarted and whoever is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from planners.alerts import delivery
from planners.alerts.alert_facts import Facts, OpenAlert
from planners.alerts.delivery import (
    FIRST_PAUSE,
    LONGEST_ASKED_PAUSE,
    LONGEST_PAUSE,
    ReceiverState,
    due,
    failed,
    observed,
    told,
)
from planners.alerts.rule_settings import RULE_NAMES

START = datetime(2026, 11, 23, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEYS = ("a", "b", "c")
Told = list[tuple[str, str]]


def alert(key: str, rule: str = "stalled", step: int = 0) -> OpenAlert:
    return OpenAlert(key=key, rule=rule, level="warn", about=key, text=f"text of {key}", run=key, step=step)


def look(
    state: ReceiverState, *alerts: OpenAlert, now: datetime, resolved_after: timedelta = timedelta(0), unknown: str = ""
) -> ReceiverState:
    facts = Facts(unknown={("stalled", unknown): "unreadable"} if unknown else {})
    return observed(state, alerts, facts, now=now, rules=RULE_NAMES, resolved_after=resolved_after)


def tell(state: ReceiverState, now: datetime, repeat_after: timedelta | None = None) -> tuple[ReceiverState, Told]:
    lines = due(state, now, repeat_after)
    return (told(state, lines, now) if lines else state), [(line.kept.alert.key, line.news) for line in lines]


def restarted(state: ReceiverState) -> ReceiverState:
    """As it comes back from its file."""
    return ReceiverState.model_validate_json(state.model_dump_json())


LOOKS = st.lists(st.tuples(st.sets(st.sampled_from(KEYS)), st.booleans(), st.booleans()), max_size=25)
"""What is open, whether the process is killed and started again after it, whether the receiver can be reached."""


@given(LOOKS)
def test_each_alert_and_each_end_is_told_once_with_restarts_at_any_point(
    looks: list[tuple[set[str], bool, bool]],
) -> None:
    state, said = ReceiverState(), Told()
    for number, (opened, restart, _) in enumerate(looks):
        now = START + number * MINUTE
        state = look(state, *map(alert, sorted(opened)), now=now)
        state = restarted(state) if restart else state
        state, news = tell(state, now)
        said += news
    for key in KEYS:
        expected, before = [], False
        for opened, _, _ in looks:
            if (key in opened) != before:
                before = not before
                expected.append("new" if before else "resolved")
        assert [news for told_key, news in said if told_key == key] == expected


@given(LOOKS)
def test_a_receiver_that_is_away_hears_of_everything_once_it_is_back(looks: list[tuple[set[str], bool, bool]]) -> None:
    """Never twice of the same, never of an end before its beginning but for what was over by then."""
    state, said, seen = ReceiverState(), Told(), set[str]()
    now = START
    for opened, restart, reached in looks:
        now += timedelta(hours=1)  # every pause is over by then
        seen |= opened
        state = look(state, *map(alert, sorted(opened)), now=now)
        if reached:
            state, news = tell(state, now)
            said += news
        elif due(state, now, None):
            state = failed(state, now, "HTTP 500")
        state = restarted(state) if restart else state
    last = looks[-1][0] if looks else set[str]()
    state, news = tell(state, now + timedelta(hours=2))
    said += news
    assert {key for key, _ in said} == seen
    for key in KEYS:
        heard = [news for told_key, news in said if told_key == key]
        assert ["new", "new"] not in [heard[i : i + 2] for i in range(len(heard))]
        assert heard == [] or heard[-1] == ("new" if key in last else "resolved")
    assert tell(state, now + timedelta(days=9))[1] == []


def test_what_comes_and_goes_is_told_once() -> None:
    state, said = ReceiverState(), Told()
    for number in range(40):
        now = START + number * MINUTE
        state = look(state, *([alert("a")] if number % 3 == 0 else []), now=now, resolved_after=5 * MINUTE)
        state, news = tell(state, now)
        said += news
    assert said == [("a", "new")]
    for number in range(40, 60):
        state = look(state, now=START + number * MINUTE, resolved_after=5 * MINUTE)
        state, news = tell(state, START + number * MINUTE)
        said += news
    assert said == [("a", "new"), ("a", "resolved")]


def test_what_nobody_can_read_is_neither_new_nor_over() -> None:
    state, _ = tell(look(ReceiverState(), alert("a"), now=START), START)
    state = look(state, now=START + MINUTE, unknown="a")
    assert tell(state, START + MINUTE)[1] == []
    state = look(state, now=START + 2 * MINUTE)
    assert tell(state, START + 2 * MINUTE)[1] == [("a", "resolved")]


def test_what_gets_worse_is_told_again_and_what_gets_better_is_not() -> None:
    state, said = ReceiverState(), Told()
    for number, step in enumerate((50, 50, 80, 50, 80, 100)):
        state = look(state, alert("a", "budget", step), now=START + number * MINUTE)
        state, news = tell(state, START + number * MINUTE)
        said += news
    assert said == [("a", "new"), ("a", "worse"), ("a", "worse")]


def test_what_has_happened_is_told_once_and_is_never_over() -> None:
    state, news = tell(look(ReceiverState(), alert("a", "failed"), now=START), START)
    assert news == [("a", "new")]
    state = look(state, now=START + MINUTE)
    assert state == ReceiverState()
    waiting = look(ReceiverState(), alert("a", "xid"), now=START)
    assert tell(look(waiting, now=START + MINUTE), START + MINUTE)[1] == [("a", "new")]


def test_what_is_still_open_is_repeated_only_where_that_is_wanted() -> None:
    state = look(ReceiverState(), alert("a"), alert("b", "failed"), now=START)
    state, _ = tell(state, START)
    day = timedelta(days=1)
    state = look(state, alert("a"), alert("b", "failed"), now=START + day)
    assert tell(state, START + day)[1] == []
    state, news = tell(state, START + day, repeat_after=timedelta(hours=24))
    assert news == [("a", "still open")]
    assert tell(state, START + day + MINUTE, repeat_after=timedelta(hours=24))[1] == []


def test_who_is_not_told_of_ends_is_told_of_none() -> None:
    state, _ = tell(look(ReceiverState(), alert("a"), now=START), START)
    state = observed(state, (), Facts(), now=START, rules=RULE_NAMES, resolved_after=timedelta(0), tells_resolved=False)
    assert state == ReceiverState()


def test_a_rule_that_a_receiver_is_no_longer_told_of_is_not_called_resolved() -> None:
    state, _ = tell(look(ReceiverState(), alert("a"), now=START), START)
    state = observed(state, (alert("a"),), Facts(), now=START, rules=("failed",), resolved_after=timedelta(0))
    assert state == ReceiverState()


def test_pauses_grow_to_a_limit_and_heed_what_is_asked_for() -> None:
    state = look(ReceiverState(), alert("a"), now=START)
    pauses = []
    for _ in range(9):
        state = failed(state, START, "HTTP 500")
        assert state.next_try_at is not None
        assert due(state, state.next_try_at - timedelta(seconds=1), None) == ()
        assert due(state, state.next_try_at, None) != ()
        pauses.append(state.next_try_at - START)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert failed(ReceiverState(), START, "", asked_pause=timedelta(seconds=90)).next_try_at == START + timedelta(
        seconds=90
    )
    assert failed(ReceiverState(), START, "", asked_pause=timedelta(days=9)).next_try_at == START + LONGEST_ASKED_PAUSE


def test_too_many_alerts_are_counted_and_come_in_several_messages() -> None:
    many = [alert(f"k{number}") for number in range(delivery.MOST_ALERTS + 7)]
    state = look(ReceiverState(), *many, now=START)
    assert (len(state.alerts), state.left_out) == (delivery.MOST_ALERTS, 7)
    heard = set[str]()
    for _ in range(delivery.MOST_ALERTS // delivery.MOST_LINES):
        state, news = tell(state, START)
        assert len(news) == delivery.MOST_LINES
        heard |= {key for key, _ in news}
    assert len(heard) == delivery.MOST_ALERTS
    assert state.left_out == 0


def test_an_alert_that_opens_again_while_its_end_is_on_its_way_is_new() -> None:
    state, _ = tell(look(ReceiverState(), alert("a"), now=START), START)
    state = look(state, now=START + MINUTE)
    on_its_way = due(state, START + MINUTE, None)
    state = look(state, alert("a"), now=START + 2 * MINUTE)
    state = told(state, on_its_way, START + 2 * MINUTE)
    assert tell(state, START + 2 * MINUTE)[1] == [("a", "new")]
