"""The dashboard: what is looked at, the pages, and what every page shows above itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

from app import data, time_links, ui
from app.time_window import FROM_TO, USUAL, WINDOWS, Chosen
from app.view import Data, View
from clusterctl.access import is_loopback
from clusterctl.dashboard import login
from clusterctl.errors import ClusterctlError, SpecError


def guard() -> bool:
    """Whoever is not on this machine logs in, however Streamlit was started; whether somebody has."""
    if is_loopback(st.get_option("server.address")):
        return False
    secrets = dict(st.secrets) if st.secrets.load_if_toml_exists() else {}
    lacking = login.missing(secrets)
    if lacking:
        st.error(
            f"This dashboard is open to others and has no login: {', '.join(lacking)} is missing. "
            "Start it with `clusterctl dashboard`."
        )
        st.stop()
    if not st.user.is_logged_in:
        failure = ui.LABELS["login_failures"].get(st.query_params.get("login", ""))
        if failure:
            st.error(f"{failure} `dashboard.log` in the dashboard's folder says why.")
        for name in login.providers(secrets[login.SECTION]):
            st.button(
                f"Log in{'' if name is None else f' with {name}'}", on_click=st.login, args=(name,), type="primary"
            )
        st.stop()
    if not login.may_enter(dict(st.user), secrets):
        who = ui.md(st.user.get("email") or "without an address")
        st.error(
            f"The account {who} may not see this dashboard: its address is not on the list ([clusterctl] "
            "allowed_emails), or the provider did not verify it."
        )
        st.button("Log out", on_click=st.logout)
        st.stop()
    return True


def choose() -> None:
    """What is looked at, from the sidebar or the address; kept for the page."""
    time_links.follow()
    with st.sidebar:
        chosen = st.segmented_control(
            "Data",
            ["live", "simulated"],
            default="live",
            required=True,
            **ui.kept("data"),
            help="Your own runs, or a recorded day of a simulated 64-GPU run.",
        )
        where: Data = "simulated" if chosen == "simulated" else "live"
        ids, count = [run.run_id for run in data.runs(where)], data.run_count(where)
        more = f" Listed: the {len(ids)} newest of {count:,}." if count > len(ids) else ""
        run = st.selectbox(
            "Run",
            [data.NEWEST, data.ALL_RUNS, *ids],
            **ui.kept("run"),
            accept_new_options=True,
            help=f"Type the beginning of any other id.{more}",
        )
        chosen_time = time_choice()
    first: tuple[Data, str, Chosen] = (where, run or data.NEWEST, chosen_time)
    usual, said = chosen_time._replace(name=USUAL), set()
    for choice in (first, (where, first[1], usual), (where, data.NEWEST, chosen_time), (where, data.NEWEST, usual)):
        st.session_state["choice"] = choice
        try:
            data.current()
            return
        except SpecError as error:  # one message for each mistake, then what is nearest to what was asked for
            if error.message not in said:
                ui.problem(error.message, error.hint)
            said.add(error.message)


def time_choice() -> Chosen:
    """The window of time, in the side bar."""
    name = st.selectbox(
        "Window",
        list(WINDOWS),
        index=list(WINDOWS).index(USUAL),
        **ui.kept("window"),
        on_change=time_links.fill_range,
        help="Back from now, or from the end of the run. Dragging over a picture of time chooses that time.",
    )
    begins = ends = ""
    if name == FROM_TO:
        zone, now = ui.zone().key, "now"
        text = f"As 2026-08-04, 2026-08-04 14:05 or 2026-08-04 14:05+02:00; without an offset it is of {zone}."
        begins = st.text_input("From", **ui.kept("from"), on_change=time_links.spell_out, args=("from",), help=text)
        ends = st.text_input(
            "To", **ui.kept("to"), on_change=time_links.spell_out, args=("to",), placeholder=now, help=text
        )
    return Chosen(name or USUAL, begins or "", ends or "", ui.zone().key)


def header(view: View, title: str, *, of_all: bool) -> None:
    """Which run, which window, and whether anything of it is real.  of_all: the page goes by neither of the two."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(title, anchor=False, width="content")
        if view.simulated:
            st.badge(
                "Simulated",
                icon=":material/science:",
                color="orange",
                help="A recorded day of a simulated run; its plan and its prices are real.",
            )
        if of_all:
            return
        name = "all runs" if view.run is None else view.run.run_id
        state = "" if view.run is None else f" ({view.run.state})"
        st.caption(f"{ui.md(name)}{state} · {ui.window_text(view.start, view.end)}", width="content")


PRODUCT = "clusterctl"


def main() -> None:
    st.set_page_config(
        page_title=PRODUCT,
        page_icon=str(Path(__file__).with_name("icon.svg")),
        layout="wide",
        menu_items={"about": "clusterctl: what a run takes, what it costs, and how sure that is."},
    )
    has_logged_in = guard()
    pages = [
        st.Page(f"views/{name}.py", title=title, icon=icon, url_path=name, default=name == "runs")
        for name, (title, icon) in ui.LABELS["pages"].items()
    ]
    page = st.navigation({PRODUCT: pages})
    st.set_page_config(page_title=f"{page.title} · {PRODUCT}")
    try:
        choose()
    except ClusterctlError as error:
        ui.problem(error.message, error.hint)
        st.stop()
    if has_logged_in:
        st.sidebar.button("Log out", on_click=st.logout, help=ui.md(st.user.get("email")))
    ui.live(partial(header, title=page.title, of_all=page is pages[0]))
    page.run()


main()
